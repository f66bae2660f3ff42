"""A vocabulary of characters. The CTC blank is an explicit token, always number 0."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import ClassVar

from speechgru.errors import CheckpointError, SpeechgruError

BLANK = "<blank>"
MAX_TOKENS = 100_000


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a model's output. `tokens[0]` is the blank; numbers are indices."""

    tokens: tuple[str, ...]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

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

    def encode(self, text: str) -> list[int]:
        """The token numbers of a text. Raises SpeechgruError for a character without a token;
        check with `unknown` first."""
        try:
            return [self._numbers[char] for char in text]
        except KeyError:
            missing = ", ".join(map(repr, self.unknown(text)))
            raise SpeechgruError(
                f"{text!r:.80}: the vocabulary has no {missing}, only {self}; exclude the "
                "utterance, or train on text with these characters"
            ) from None

    def covers(self, text: str) -> bool:
        """Whether each character has a token."""
        return self._numbers.keys() >= set(text)

    def unknown(self, text: str) -> Counter[str]:
        """How often each character that is not in the vocabulary occurs."""
        return Counter(char for char in text if char not in self._numbers)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token numbers, without blanks. Raises IndexError for an invalid number."""
        if len(ids) and min(ids) < 0:
            raise IndexError(f"token {min(ids)} is below 0")
        return "".join(self.tokens[i] for i in ids if i != self.blank)

    def to_json(self) -> dict[str, object]:
        return {"kind": "characters", "tokens": list(self.tokens)}

    @classmethod
    def from_json(cls, values: object) -> "Vocabulary":
        """The inverse of `to_json`. Raises CheckpointError for anything else."""
        if not isinstance(values, dict) or values.get("kind") != "characters":
            raise CheckpointError(
                f"vocabulary: expected kind 'characters' and its tokens, found {values!r:.60}"
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
            one = isinstance(token, str) and len(token) == 1
            if not one or unicodedata.category(token) in ("Cc", "Cs") or token in seen:
                raise CheckpointError(
                    f"vocabulary: token {number} must be a single character, not a control "
                    f"character, that occurs once; found {token!r:.60}"
                )
            seen.add(token)
        return cls(tuple(tokens))

    def __str__(self) -> str:
        return f"{len(self) - 1} characters {''.join(self.tokens[1:])!r:.120}"


def frames_needed(tokens: Sequence[int] | str) -> int:
    """The fewest frames CTC can align `tokens` to: one each, and a blank between equal ones."""
    return len(tokens) + int(sum(map(eq, tokens, tokens[1:])))
