"""The output of an acoustic model for one recording, or for a section of a long one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Emission:
    """Log-probabilities of every token in every model frame, and the times of the frames.

    The time of a model frame is the centre of the analysis window of its first feature frame, in
    seconds from the beginning of the recording.

    A long recording is cut into sections at pauses, and each section is decoded by itself: `cuts`
    has the frame in which each section but the first begins.

    >>> emission = Emission(np.zeros((5, 17), np.float32), seconds_per_frame=0.03, start=0.016)
    >>> round(emission.seconds(2), 3)
    0.076
    """

    log_probs: Floats  # (frames, tokens)
    seconds_per_frame: float
    start: float = 0.0  # time of frame 0, in seconds
    duration: float = 0.0  # seconds of audio; 0 where it is not known
    levels: Floats | None = field(default=None, repr=False)  # (n,) dBFS of the audio, if known:
    seconds_per_level: float = 0.01  # value k is over the k-th such stretch
    begin: float = 0.0  # where its audio begins in the recording, in seconds
    cuts: tuple[int, ...] = ()

    def seconds(self, frame: float) -> float:
        """The time of a model frame, which may be a fraction."""
        return self.start + frame * self.seconds_per_frame

    def sections(self) -> "list[Emission]":
        """The sections of a long recording; the emission itself where it is one."""
        if not self.cuts:
            return [self]
        bounds = [0, *self.cuts, len(self.log_probs)]
        return [self._part(first, last, last == bounds[-1]) for first, last in pairwise(bounds)]

    def _part(self, first: int, last: int, to_end: bool) -> "Emission":
        per_frame = round(self.seconds_per_frame / self.seconds_per_level)
        begin = first * self.seconds_per_frame
        end = self.duration if to_end else last * self.seconds_per_frame
        levels = self.levels
        if levels is not None:
            levels = levels[first * per_frame : None if to_end else last * per_frame]
        return replace(
            self, log_probs=self.log_probs[first:last], start=self.start + begin,
            duration=end - begin, levels=levels, begin=self.begin + begin, cuts=(),
        )  # fmt: skip


def join(sections: Sequence[Emission]) -> Emission:
    """The emission of a long recording from its sections, in order; inverse of `sections`."""
    if len(sections) == 1:
        return sections[0]
    first, lengths = sections[0], [len(part.log_probs) for part in sections]
    levels = [part.levels for part in sections if part.levels is not None]
    return replace(
        first,
        log_probs=np.concatenate([part.log_probs for part in sections]),
        duration=sum(part.duration for part in sections),
        levels=np.concatenate(levels) if len(levels) == len(sections) else None,
        cuts=tuple(np.cumsum(lengths[:-1]).tolist()),
    )
