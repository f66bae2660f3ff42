"""CTC prefix beam search with a language model, a lexicon and hot words, all optional.

Design choices
- A hypothesis scores log P(text | audio) + lm_weight · log P(text) + word_score · words -
  unknown_cost · unknown words + the credit of hot phrases. P(text | audio) sums over paths.
- With a lexicon, a word counts for the language model when it is complete. Until then, the
  hypothesis is ranked with the score of the most probable word that begins so (Ortmanns, Ney &
  Eiden 1996, ICSLP, "Language-model look-ahead for large vocabulary speech recognition").
- Equal scores are ordered by place in the beam, and those by token: the result never depends on
  chance, on threads, or on how a recording was cut into chunks.
- One search is one thread's; searches of one decoder run in parallel, without the GIL.
"""

from copy import copy
from dataclasses import replace
from typing import Self

import numpy as np
import numpy.typing as npt

from speechgru.decoding.alignment import align
from speechgru.decoding.emission import Emission
from speechgru.decoding.endings import find_endings
from speechgru.decoding.graph import Options, build_graph
from speechgru.decoding.hypothesis import Hypothesis, Spelled
from speechgru.decoding.lexicon import Lexicon
from speechgru.decoding.prefixes import copy_prefixes, empty_prefixes, path, reachable
from speechgru.decoding.search import advance
from speechgru.decoding.state import (
    CLOSED,
    ENDING,
    FREE,
    HYPOTHESIS,
    NO_WORD,
    OPEN,
    UNKNOWN_WORD,
    Graph,
)
from speechgru.errors import SpeechgruError
from speechgru.lm.ngram import NGram
from speechgru.text import Vocabulary

FIRST_CAPACITY = 40  # nodes of the prefix tree per place in the beam, to begin with


class BeamSearch:
    """A decoder: the best text of an emission, or the n best.

    >>> decode = BeamSearch(Vocabulary(("<blank>", "a", "b")))
    >>> paths = np.log(np.array([[0.4, 0.6, 0.0], [0.6, 0.4, 0.0]], np.float32) + 1e-30)
    >>> decode(Emission(paths, seconds_per_frame=0.04)).tokens  # "a" has three paths
    (1,)
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        options: Options | None = None,
        lm: NGram | None = None,
        lexicon: Lexicon | None = None,
        hotwords: dict[str, float] | None = None,
    ) -> None:
        self.vocabulary, self.options = vocabulary, options or Options()
        self.lexicon, self.lm = lexicon, lm
        self.hotwords = hotwords or {}
        self.graph = build_graph(vocabulary, self.options, lm, lexicon, self.hotwords)

    def __str__(self) -> str:
        parts = [f"beam search of width {self.options.beam}"]
        if self.lm is not None:
            weight = f"weight {self.options.lm_weight:g}"
            parts.append(f"{self.lm.unit} {self.lm.order}-gram ({weight})")
        if self.lexicon is not None:
            others = "no others" if self.options.unknown_cost is None else "others spelled"
            parts.append(f"{len(set(self.lexicon.words)):,} words ({others})")
            if self.lexicon.words is self.lexicon.spellings:
                parts.append("as spelled")
        if self.hotwords:
            parts.append(f"{len(self.hotwords):,} hot words")
        return ", ".join(parts)

    def __call__(self, emission: Emission) -> Hypothesis:
        return self.nbest(emission, 1)[0]

    def nbest(self, emission: Emission, n: int) -> list[Hypothesis]:
        """The n best texts, best first; fewer when the beam has no more. `frames` is on the best
        path of each text."""
        search = self.start()
        search.feed(emission.log_probs)
        return self._complete(search, emission, n)

    def finish(self, search: "Search", emission: Emission) -> Hypothesis:
        """The result of a search that was fed the emission."""
        return self._complete(search, emission, 1)[0]

    def _complete(self, search: "Search", emission: Emission, n: int) -> list[Hypothesis]:
        log_probs, found = emission.log_probs, search.nbest(n)
        if not found:
            search = Search(self, self.graph._replace(weights=self.graph.weights.unpruned()))
            search.feed(log_probs)
            found = search.nbest(n) or [Hypothesis((), (), float(log_probs[:, 0].sum()))]
        return [replace(one, frames=align(log_probs, one.tokens)) for one in found]

    def reweighted(self, options: Options) -> "BeamSearch":
        """The same with other settings; shares all else."""
        other = copy(self)
        other.options = options
        lexicon = FREE
        if self.lexicon is not None:
            lexicon = CLOSED if options.unknown_cost is None else OPEN
        other.graph = self.graph._replace(weights=options.weights(), lexicon=lexicon)
        return other

    def spelled(self) -> Self:
        """The same, but its words are written as they are spelled."""
        other = copy(self)
        if self.lexicon is not None:
            other.lexicon = replace(self.lexicon, words=self.lexicon.spellings)
        return other

    def start(self) -> "Search":
        """A search that is fed piece by piece."""
        return Search(self, self.graph)


class Search:
    """The state of a beam search, kept from one piece of an emission to the next."""

    def __init__(self, decoder: BeamSearch, graph: Graph) -> None:
        self.decoder, self.graph = decoder, graph
        size = decoder.options.beam
        self.beam, self.size = np.zeros(size, HYPOTHESIS), 1
        self.beam["prefix"][1:] = -1
        start = self.beam[:1]
        start["token"], start["word"], start["label"] = -1, NO_WORD, -np.inf
        start["lm"], start["hot"] = graph.start, graph.start_hot
        self.prefixes, self.table = empty_prefixes(FIRST_CAPACITY * (size + 10))
        self.prefixes["place"][0], self.nodes = 0, 1
        # longer hypotheses of one, and itself
        most = len(decoder.vocabulary) + int(graph.starts.sum()) * graph.homophones + 1
        self.candidates = np.empty(size * most, HYPOTHESIS)

    def feed(self, log_probs: npt.NDArray[np.float32]) -> None:
        """Search through the next frames, (frames, vocabulary)."""
        rows = np.ascontiguousarray(log_probs, np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self.decoder.vocabulary):
            expected = f"(frames, {len(self.decoder.vocabulary)})"
            raise ValueError(f"log-probabilities of shape {rows.shape}: expected {expected}")
        if np.isnan(rows).any():
            raise SpeechgruError("the model's log-probabilities contain NaN: it has diverged")
        while len(rows):
            done, self.size, self.nodes = advance(
                rows, self.graph, self.beam, self.size, self.prefixes, self.table, self.nodes,
                self.candidates,
            )  # fmt: skip
            rows = rows[done:]
            if len(rows):
                self._make_room()

    def nbest(self, n: int) -> list[Hypothesis]:
        """The n best texts if the utterance ends here, best first; none when every hypothesis is in
        the middle of a word, and the lexicon has only complete ones. `frames` is empty.

        A text's score is the sum over its token sequences, which may differ in spaces, pieces or
        spellings, each read as the words that score best; all else is the best one's. With n = 1,
        it stops where no other text can win."""
        endings = np.zeros(self.size * max(1, self.graph.homophones) + 1, ENDING)
        count = find_endings(self.graph, self.beam, self.size, self.prefixes, endings)
        order = np.argsort(-endings["total"][:count], kind="stable")
        rest = np.logaddexp.accumulate(endings["total"][order[::-1]])[::-1]
        found: dict[str, Hypothesis] = {}
        read: set[tuple[str, tuple[int, ...]]] = set()
        for place, remaining in zip(order, rest, strict=True):
            if n == 1 and found:
                *others, best = sorted(one.score for one in found.values())
                if np.logaddexp(max(others, default=-np.inf), remaining) < best:
                    break
            new = self._hypothesis(endings[place])
            text = new.text
            if text is None:
                text = " ".join(self.decoder.vocabulary.decode(new.tokens).split())
            if (text, new.tokens) in read:  # as "new", "york" and as "new york"
                continue
            read.add((text, new.tokens))
            found[text] = _merge(found[text], new) if text in found else new
        return sorted(found.values(), key=lambda one: -one.score)[:n]

    def _hypothesis(self, ending: np.void) -> Hypothesis:
        tokens, words = (array.tolist() for array in path(self.prefixes, int(ending["prefix"])))
        last, written = int(ending["word"]), None
        if self.decoder.lexicon:
            if tokens and tokens[-1] == self.graph.space:  # after the last word
                tokens, words, last = tokens[:-1], words[:-1], words[-1]
            written = self._written(tokens, [*words, last])
        total, acoustic, lm = (float(ending[name]) for name in ("total", "acoustic", "lm"))
        return Hypothesis(tuple(tokens), (), total, written, acoustic, lm)

    def _written(self, tokens: list[int], words: list[int]) -> tuple[Spelled, ...]:
        """The words of a text; `words` has one entry more than `tokens`, for the end."""
        assert self.decoder.lexicon is not None
        written, begin = [], 0
        for place, word in enumerate(words):
            if word == NO_WORD:
                continue
            text = self.decoder.vocabulary.decode(tokens[begin:place]).strip()
            if word != UNKNOWN_WORD:
                text = self.decoder.lexicon.words[word]
            if text:
                written.append(Spelled(text, begin, place - 1))
            begin = place + (tokens[place : place + 1] == [self.graph.space])
        return tuple(written)

    def _make_room(self) -> None:
        """Remove the prefixes that no hypothesis needs any more; more room if they are few."""
        active = self.beam["prefix"][: self.size].copy()
        moved = reachable(self.prefixes, self.nodes, active)
        self.nodes, capacity = int(moved.max()) + 1, len(self.prefixes)
        while self.nodes + len(self.beam) > capacity // 2:
            capacity *= 2
        old = self.prefixes
        self.prefixes, self.table = empty_prefixes(capacity)
        copy_prefixes(old, moved, self.prefixes, self.table)
        self.beam["prefix"][: self.size] = moved[active]


def _merge(one: Hypothesis, other: Hypothesis) -> Hypothesis:
    """Two token sequences of the same text."""
    assert one.acoustic is not None
    assert other.acoustic is not None
    return replace(
        one,
        score=float(np.logaddexp(one.score, other.score)),
        acoustic=float(np.logaddexp(one.acoustic, other.acoustic)),
    )
