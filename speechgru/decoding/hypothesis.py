"""What a decoder returns."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Spelled(NamedTuple):
    """A word and the tokens that spell it: `first` to `last` of a hypothesis, both included."""

    text: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A token sequence. `frames` has the model frame in which each token begins, and `score` is a
    log-probability: of the best path (greedy), or as the decoder defines it.

    `words` is what to write where that is not simply the tokens; `acoustic` and `lm` are the
    unweighted log-probabilities of the acoustic and the language model where there are two."""

    tokens: tuple[int, ...]
    frames: tuple[int, ...]
    score: float
    words: tuple[Spelled, ...] | None = field(default=None, repr=False)
    acoustic: float | None = field(default=None, repr=False)
    lm: float | None = field(default=None, repr=False)

    @property
    def text(self) -> str | None:
        """The words with single spaces; None where the tokens are what to write."""
        return None if self.words is None else " ".join(word.text for word in self.words)
