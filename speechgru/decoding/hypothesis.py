"""What a decoder returns, and what becomes of it for users."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A token sequence. `frames` has the model frame in which each token begins, and `score` is a
    log-probability: of the best path (greedy), or as the decoder defines it."""

    tokens: tuple[int, ...]
    frames: tuple[int, ...]
    score: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of a recording and the recording's duration in seconds."""

    text: str
    duration: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
