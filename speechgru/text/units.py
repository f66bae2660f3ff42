"""Other units than characters: words, and pieces of words; and vocabularies in files.

Pieces are those of byte pair encoding (Sennrich, Haddow & Birch 2016, ACL, "Neural machine
translation of rare words with subword units"). sentencepiece trains them; a text is split here, as
sentencepiece splits it, so that a model needs nothing else.
"""

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import ClassVar

from speechgru.errors import CheckpointError, RecipeError, reason_of
from speechgru.recipe import TextRecipe
from speechgru.text.vocabulary import BLANK, Vocabulary

MAX_TOKENS = 100_000
MAX_LENGTH = 1000  # characters of a token that is read from a file
LONGEST_PIECE = 16
SPACE = "\u2581"  # how sentencepiece writes a space


@dataclass(frozen=True)
class Words(Vocabulary):
    """Whole words, each with a space before it. A word that no training text has cannot occur."""

    kind: ClassVar[str] = "words"
    unit: ClassVar[str] = "word"

    def split(self, text: str) -> Sequence[str]:
        return [f" {word}" for word in text.split()]

    @property
    def between(self) -> list[int]:
        return []

    def __str__(self) -> str:
        return f"{len(self) - 1} words: {','.join(self.tokens[1:]).strip():.120}"


@dataclass(frozen=True)
class Pieces(Vocabulary):
    """Characters and sequences of them, in the order in which byte pair encoding joins them. The
    first piece of a word begins with a space."""

    _split: dict[str, tuple[str, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )  # of the words so far

    kind: ClassVar[str] = "pieces"

    def split(self, text: str) -> Sequence[str]:
        return [piece for word in text.split() for piece in self._pieces(word)]

    @property
    def between(self) -> list[int]:
        return []

    def _pieces(self, word: str) -> tuple[str, ...]:
        found = self._split.get(word)
        if found is None:
            if len(self._split) >= MAX_TOKENS:
                self._split.clear()  # perhaps while another thread loads a batch
            self._split[word] = found = tuple(self._merged(list(f" {word}")))
        return found

    def _merged(self, parts: list[str]) -> list[str]:
        """Neighbours that are one piece are joined: of the pieces that came first in training, the
        leftmost, until there are none."""
        ranks, last = self._numbers, len(self)
        while len(parts) > 1:
            pairs = map("".join, pairwise(parts))
            rank, place = min((ranks.get(pair) or last, i) for i, pair in enumerate(pairs))
            if rank == last:
                break
            parts[place : place + 2] = [self.tokens[rank]]
        return parts


KINDS: dict[str, type[Vocabulary]] = {
    "character": Vocabulary, "bpe": Pieces, "word": Words
}  # fmt: skip


def make_vocabulary(
    texts: Iterable[str], recipe: TextRecipe, initial: Vocabulary | None = None
) -> Vocabulary:
    """The vocabulary of normalised texts for a recipe's unit, with all tokens of `initial`, where
    that has the same unit.

    Pieces of `initial` are kept, with the characters that it lacks; no others are trained. Raises
    RecipeError: too many words, a number of pieces that the texts do not have, or sentencepiece,
    which is an extra, is missing.
    """
    kind = KINDS[recipe.unit]
    known = initial.tokens[1:] if initial is not None and initial.kind == kind.kind else ()
    if kind is Pieces:
        counts = Counter(word for text in texts for word in text.split())
        tokens = known or (_train(counts, recipe.pieces) if counts else ())
        found = [*tokens, *sorted({" "}.union(*counts) - set(tokens))]
    elif kind is Words:
        found = sorted({*known, *(f" {word}" for text in texts for word in text.split())})
    else:
        return Vocabulary.from_texts(chain(known, texts))
    if len(longest := max(found, key=len)) > MAX_LENGTH:
        raise RecipeError(
            f"text.unit {recipe.unit}: {longest!r:.40} has {len(longest):,} characters; expected "
            f"words of at most {MAX_LENGTH:,}; use text.unit=bpe or character"
        )
    if len(found) >= MAX_TOKENS:
        raise RecipeError(
            f"text.unit {recipe.unit}: the training texts have {len(found):,} different tokens; "
            f"expected fewer than {MAX_TOKENS:,}; use text.unit=bpe or character"
        )
    return kind((BLANK, *found))


def _train(counts: Counter[str], size: int) -> list[str]:
    """So many pieces for words and their counts, in the order in which they were joined, then
    single characters."""
    try:
        import sentencepiece
    except ImportError:
        raise RecipeError(
            "text.unit bpe: sentencepiece is not installed; `pip install speechgru[bpe]`"
        ) from None
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in sorted(counts.items())),
            input_format="tsv", model_writer=model, model_type="bpe", vocab_size=size + 1,
            character_coverage=1.0, normalization_rule_name="identity", bos_id=-1, eos_id=-1,
            num_threads=1, minloglevel=2, split_by_unicode_script=False, split_by_number=False,
            max_sentencepiece_length=LONGEST_PIECE,
        )  # fmt: skip
    except RuntimeError as error:
        most = re.search(r"value <= (\d+)", str(error))
        least = re.search(r"required_chars\. \d+ vs (\d+)", str(error))
        expected = (
            f"at most {int(most[1]) - 1}" if most else f"at least {int(least[1]) - 1}" if least
            else f"another number ({reason_of(error):.100})"
        )  # fmt: skip
        raise RecipeError(
            f"text.pieces {size}: the training texts need {expected}, by their different "
            "characters and words"
        ) from None
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(number) for number in range(1, len(processor))]
    return [piece.replace(SPACE, " ") for piece in pieces if piece != BLANK]


def vocabulary_from_json(values: object) -> Vocabulary:
    """The inverse of `to_json`. Raises CheckpointError for anything else."""
    kinds = {kind.kind: kind for kind in KINDS.values()}
    name = values.get("kind") if isinstance(values, dict) else None
    if not isinstance(values, dict) or name not in kinds:
        raise CheckpointError(
            f"vocabulary: expected its kind ({', '.join(kinds)}) and tokens, found {values!r:.60}"
        )
    tokens = values.get("tokens")
    if not isinstance(tokens, list) or not 1 <= len(tokens) <= MAX_TOKENS:
        raise CheckpointError(
            f"vocabulary: expected 1 to {MAX_TOKENS} tokens, found {tokens!r:.60}"
        )
    if tokens[0] != BLANK:
        raise CheckpointError(f"vocabulary: token 0 must be {BLANK!r}, found {tokens[0]!r:.60}")
    seen: set[str] = {BLANK}
    for number, token in enumerate(tokens[1:], start=1):
        if not isinstance(token, str) or not _valid(token, name) or token in seen:
            raise CheckpointError(
                f"vocabulary of {name}: token {number} must be {EXPECTED[name]}, without control "
                f"characters, that occurs once; found {token!r:.60}"
            )
        seen.add(token)
    return kinds[name](tuple(tokens))


EXPECTED = {
    "characters": "a single character",
    "pieces": "characters, of which only the first may be a space",
    "words": "a space and a word",
}


def _valid(token: str, kind: str) -> bool:
    fits = {
        "characters": len(token) == 1,
        "pieces": 1 <= len(token) <= MAX_LENGTH and " " not in token[1:],
        "words": 2 <= len(token) <= MAX_LENGTH and token[0] == " " and " " not in token[1:],
    }
    return fits[kind] and not any(unicodedata.category(char) in ("Cc", "Cs") for char in token)
