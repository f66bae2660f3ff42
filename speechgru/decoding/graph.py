"""From a vocabulary, a language model, a lexicon and hot words to what a search looks up."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice, product

import numpy as np

from speechgru.decoding.hotwords import build_automaton, is_unspaced
from speechgru.decoding.lexicon import NODE, Lexicon
from speechgru.decoding.state import (
    CHARACTERS,
    CLOSED,
    FREE,
    NO_MODEL,
    OPEN,
    WORDS,
    Graph,
    Weights,
)
from speechgru.errors import LanguageModelError
from speechgru.lm.ngram import SPACE, Ints, NGram, Tables
from speechgru.text import Vocabulary

MAX_SPELLINGS = 100  # of one hot phrase


@dataclass(frozen=True)
class Options:
    """Settings of a beam search; scores are natural logarithms."""

    beam: int = 100  # hypotheses that are kept after each frame
    lm_weight: float = 1.0  # factor of the language model's score
    word_score: float = 0.0  # added per word; without a lexicon, per character
    unknown_cost: float | None = None  # of a word outside the lexicon; None: there are none
    token_threshold: float = -8.0  # tokens less probable than this in a frame are not tried
    beam_threshold: float = 12.0  # hypotheses this much worse than the best are dropped

    def weights(self) -> Weights:
        return Weights(
            float(self.lm_weight), float(self.word_score), float(self.unknown_cost or 0),
            float(self.token_threshold), float(self.beam_threshold),
        )  # fmt: skip


def build_graph(
    vocabulary: Vocabulary,
    options: Options,
    lm: NGram | None,
    lexicon: Lexicon | None,
    hotwords: Mapping[str, float],
) -> Graph:
    """Raises LanguageModelError when the model cannot write a hot word."""
    starts = np.zeros(len(vocabulary), np.bool_)
    starts[vocabulary.starts] = True
    space = vocabulary.between[0] if vocabulary.between else -1
    by_word = space < 0 and bool(starts.any())  # words begin with tokens that begin with a space
    boundary = len(vocabulary) if by_word else space
    phrases: dict[tuple[int, ...], float] = {}
    unspaced: dict[tuple[int, ...], tuple[bool, bool]] = {}
    for phrase, boost in hotwords.items():
        for spelling in _spellings(phrase, lexicon, vocabulary):
            tokens = vocabulary.encode(spelling)
            if by_word:
                parts = [(boundary, token) if starts[token] else (token,) for token in tokens]
                tokens = list(chain(*parts))[1:]
            phrases[tuple(tokens)] = boost
            if not by_word:  # digits are written beside such characters without a space, too
                edges = spelling.lstrip("0123456789")[:1], spelling.rstrip("0123456789")[-1:]
                unspaced[tuple(tokens)] = is_unspaced(edges[0]), is_unspaced(edges[1])
    lengths = [*map(len, vocabulary.tokens), 0] if by_word else ()
    hot = build_automaton(phrases, boundary, lengths, unspaced)
    begins = hot["token"][: hot["first"][1]]  # of state 0, which has none, and its children
    kind = NO_MODEL if lm is None else WORDS if lm.unit == "word" else CHARACTERS
    mode = FREE if lexicon is None else CLOSED if options.unknown_cost is None else OPEN
    return Graph(
        weights=options.weights(),
        lexicon=mode,
        tree=np.zeros(2, NODE) if lexicon is None else lexicon.tree,
        numbers=np.zeros(0, np.int32) if lexicon is None else lexicon.numbers,
        model=kind,
        tables=_no_tables() if lm is None else lm.tables,
        token_numbers=_token_numbers(lm, vocabulary),
        start=0 if lm is None else lm.start,
        end=-1 if lm is None else lm.end,
        unknown=float(lm.tables.log_prob[1]) if lm is not None and kind == WORDS else 0.0,
        hot=hot,
        start_hot=int(np.argmax(begins == space)),
        space=space,
        starts=starts,
        boundary=boundary,
    )


def _spellings(phrase: str, lexicon: Lexicon | None, vocabulary: Vocabulary) -> list[str]:
    """How the model writes a phrase: as it is, and as the lexicon spells its words."""
    known: dict[str, list[str]] = lexicon.other_spellings if lexicon else {}
    choices = product(*(known.get(word, [word]) for word in phrase.split()))
    found = [" ".join(words) for words in islice(choices, MAX_SPELLINGS)]
    for spelling in found:
        if missing := vocabulary.unknown(spelling):
            raise LanguageModelError(
                f"hot word {phrase!r:.60}: the model cannot write {', '.join(map(repr, missing))}; "
                f"it has {vocabulary}"
            )
    return found


def _token_numbers(lm: NGram | None, vocabulary: Vocabulary) -> Ints:
    """The characters of the vocabulary in a character model; 0 for what it lacks."""
    if lm is None or lm.unit == "word":
        return np.zeros(0, np.int32)
    names = [SPACE if token == " " else token for token in vocabulary.tokens]
    return np.array([lm.number(name) for name in names], np.int32)


def _no_tables() -> Tables:
    zero, one = np.zeros(1, np.int32), np.zeros(1, np.float32)
    return Tables(zero, one, one, np.ones(2, np.int32), zero, zero)
