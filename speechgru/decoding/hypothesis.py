"""What a decoder returns, and what becomes of it for users."""

from dataclasses import asdict, dataclass, field

from speechgru.files import Json


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A token sequence. `frames` has the model frame in which each token begins, and `score` is a
    log-probability: of the best path (greedy), or as the decoder defines it.

    `text` is what to write where that is not simply the tokens; `acoustic` and `lm` are the
    unweighted log-probabilities of the acoustic and the language model where there are two."""

    tokens: tuple[int, ...]
    frames: tuple[int, ...]
    score: float
    text: str | None = field(default=None, repr=False)
    acoustic: float | None = field(default=None, repr=False)
    lm: float | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of a recording and the recording's duration in seconds."""

    text: str
    duration: float

    def to_json(self) -> Json:
        return asdict(self)
