"""Long audio → segments short enough for the model, cut at pauses, in bounded memory.

Design choices:
- A pause is a stretch of PAUSE seconds or more that is quiet for the audio around it (`quiet`). It
  is cut in its middle.
- Every pause of SURE_PAUSE seconds ends a segment, as the utterances of a training set end, once
  the segment has SHORTEST seconds, or more for a model of longer utterances (`shortest`). Where
  none comes within LONGEST seconds, the longest pause in the later part is taken.
- Without a pause, two segments overlap by 2 × OVERLAP seconds around the quietest place, and their
  outputs are joined in there (`speechgru.decoding.stitching`).
- Segments begin at whole model frames, so that all frames of a recording are on one grid.

How the values were chosen, and what did not help: docs/transcripts.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechgru.audio.levels import frame_levels

Samples = npt.NDArray[np.float32]
Levels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

LONGEST = 20.0  # seconds
SHORTEST = 1.0
PAUSE = 0.2
SURE_PAUSE = 0.4
OVERLAP = 1.0
QUIET_DB = 15.0
QUIET_RANGE = 45.0  # dB below the loudest: all that is quieter is the same
SMOOTH_LEVELS = 5


@dataclass(frozen=True, slots=True)
class Grid:
    """Sizes in samples: of a level's stretch (`hop`), from one model frame to the next (`frame`),
    and from the beginning of a model frame to the last sample that it needs (`reach`)."""

    rate: int
    hop: int
    frame: int
    reach: int

    def frames(self, seconds: float) -> int:
        return round(seconds * self.rate / self.frame)


@dataclass(frozen=True, slots=True)
class Segment:
    """The model frames `first` to `last` (None: to the end) of a recording.

    `levels` are of its audio, and `samples` include what the last frame needs. `overlaps`: there is
    no pause before it, and its first frames are also the last ones of the segment before.
    """

    samples: Samples
    levels: Levels
    first: int
    last: int | None
    overlaps: bool
    seconds: float  # of audio


def cut(blocks: Iterable[Samples], grid: Grid, shortest: float = SHORTEST) -> Iterator[Segment]:
    """The segments of a recording, from its samples in blocks of any size. No pause in the first
    `shortest` seconds of a segment ends it."""
    longest, overlap = grid.frames(LONGEST), grid.frames(OVERLAP)
    enough = (longest + overlap) * grid.frame + grid.reach
    buffer, first, overlaps = _Buffer(blocks), 0, False
    while True:
        samples = buffer.peek(enough)
        is_last = len(samples) < enough
        levels = frame_levels(samples[: longest * grid.frame], grid.hop)
        place, at_pause = _find_cut(levels, grid, is_last, shortest)
        extra = 0 if at_pause else overlap
        end = None if place is None else place + extra
        stop = len(samples) if end is None else end * grid.frame
        levels = frame_levels(samples[:stop], grid.hop)
        used = samples if end is None else samples[: stop + grid.reach]
        last = None if end is None else first + end
        yield Segment(used, levels, first, last, overlaps, stop / grid.rate)
        if place is None:
            return
        buffer.drop((place - extra) * grid.frame)
        first, overlaps = first + place - extra, not at_pause


def quiet(levels: Levels) -> Mask:
    """(n,) levels in dBFS → (n,): whether each is of the quieter of two classes, divided where they
    differ most (Otsu 1979, "A threshold selection method from gray-level histograms"), and
    QUIET_DB below the loudest."""
    found = _smooth(levels)
    peak = float(np.quantile(found, 0.95))
    counts, edges = np.histogram(found.clip(peak - QUIET_RANGE, peak), 45)
    centres = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centres)
    between = (sums[-1] * below / below[-1] - sums) ** 2 / np.maximum(
        below * (below[-1] - below), 1
    )
    mask: Mask = found < min(float(centres[between.argmax()]), peak - QUIET_DB)
    return mask


def runs(mask: Mask) -> npt.NDArray[np.int64]:
    """(runs, 2): begin and end of each run of True."""
    edges = np.diff(mask, prepend=False, append=False)
    return np.flatnonzero(edges).reshape(-1, 2)


def _find_cut(
    levels: Levels, grid: Grid, is_last: bool, shortest: float
) -> tuple[int | None, bool]:
    """The model frame to cut at, and whether it is in a pause. None: the last segment, whole."""
    step = grid.hop / grid.rate
    pauses = runs(quiet(levels))
    ends = pauses[:, 1] < len(levels) + (not is_last)  # silence at the end is not cut off
    pauses = pauses[(pauses[:, 0] * step >= shortest) & ends]
    lengths, middles = (pauses[:, 1] - pauses[:, 0]) * step, pauses.mean(axis=1)
    to_frame = grid.hop / grid.frame
    sure = np.flatnonzero(lengths >= SURE_PAUSE)
    if len(sure):
        return int(middles[sure[0]] * to_frame), True
    if is_last:
        return None, True
    if lengths.max(initial=0.0) >= PAUSE:
        late = lengths + 0.5 * middles / len(levels)  # rather longer segments than shorter ones
        return int(middles[np.argmax(np.where(lengths >= PAUSE, late, 0))] * to_frame), True
    width = max(1, round(PAUSE / step))
    power = np.convolve(10 ** (levels / 10), np.ones(width), "same")
    half = len(levels) // 2
    return int((half + np.argmin(power[half:-width])) * to_frame), False


def _smooth(levels: Levels) -> Levels:
    width = min(SMOOTH_LEVELS, len(levels))
    power = np.convolve(10 ** (levels.astype(np.float64) / 10), np.ones(width) / width, "same")
    return (10 * np.log10(power + 1e-12)).astype(np.float32)


class _Buffer:
    """The next samples of a recording that comes in blocks."""

    def __init__(self, blocks: Iterable[Samples]) -> None:
        self.blocks, self.samples = iter(blocks), np.empty(0, np.float32)

    def peek(self, count: int) -> Samples:
        """The next `count` samples, fewer at the end."""
        parts, have = [self.samples], len(self.samples)
        for block in self.blocks if have < count else ():
            parts.append(block)
            have += len(block)
            if have >= count:
                break
        self.samples = np.concatenate(parts)
        return self.samples[:count]

    def drop(self, count: int) -> None:
        self.samples = self.samples[count:]
