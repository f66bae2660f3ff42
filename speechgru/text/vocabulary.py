"""Vocabularies: the tokens of a model's output. The CTC blank is a token, always number 0.

Design choices:
- A token is a string. Text is the tokens in a row, without space at its beginning and end.
- Between words is the token " ", or the first token of each word begins with a space.
- Characters are here; pieces and words, other kinds, in units.py.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import ClassVar

from speechgru.errors import SpeechgruError

BLANK = "<blank>"


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a model's output. `tokens[0]` is the blank; numbers are indices."""

    tokens: tuple[str, ...]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    kind: ClassVar[str] = "characters"
    unit: ClassVar[str] = "character"  # what `unknown` counts
    blank: ClassVar[int] = 0

    def __post_init__(self) -> None:
        numbers = {token: number for number, token in enumerate(self.tokens)}
        object.__setattr__(self, "_numbers", numbers)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Vocabulary":
        """Every character that occurs, in code point order, after the blank; the space always, so
        that a model trained on single words can write two."""
        return cls((BLANK, *sorted({" "}.union(*texts))))

    def split(self, text: str) -> Sequence[str]:
        """The tokens of a text, in normal form, with those that the vocabulary lacks."""
        return text

    @property
    def between(self) -> list[int]:
        """The tokens between those of two texts, to join them."""
        return [self._numbers[" "]] if " " in self._numbers else []

    @property
    def starts(self) -> list[int]:
        """The tokens that begin with a space: after one, a word begins, or with it."""
        return [number for number, token in enumerate(self.tokens) if token[0] == " "]

    def encode(self, text: str) -> list[int]:
        """The token numbers of a text. Raises SpeechgruError for what has no token; check with
        `unknown` first."""
        try:
            return [self._numbers[token] for token in self.split(text)]
        except KeyError:
            missing = ", ".join(map(repr, self.unknown(text)))
            raise SpeechgruError(
                f"{text!r:.80}: the vocabulary has no {missing}, only {self}; exclude the "
                f"utterance, or train on text with these {self.unit}s"
            ) from None

    def covers(self, text: str) -> bool:
        """Whether all of a text has tokens."""
        return self._numbers.keys() >= set(self.split(text))

    def unknown(self, text: str) -> Counter[str]:
        """How often each character (or word) that is not in the vocabulary occurs."""
        return Counter(
            token.strip() or token for token in self.split(text) if token not in self._numbers
        )

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token numbers, without blanks. Raises IndexError for an invalid number."""
        if len(ids) and min(ids) < 0:
            raise IndexError(f"token {min(ids)} is below 0")
        return "".join(self.tokens[i] for i in ids if i != self.blank)

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "tokens": list(self.tokens)}

    def __str__(self) -> str:
        return f"{len(self) - 1} {self.kind} {''.join(self.tokens[1:])!r:.120}"


def frames_needed(tokens: Sequence[object]) -> int:
    """The fewest frames CTC can align `tokens` to: one each, and a blank between equal ones."""
    return len(tokens) + int(sum(map(eq, tokens, tokens[1:])))
