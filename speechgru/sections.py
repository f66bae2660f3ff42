"""From sources to pieces for the model, and from the model's outputs to emissions.

A recording of up to LONGEST seconds is one piece. A longer one is cut into pieces, mostly at pauses
(`speechgru.audio.segmentation`), and their outputs are assembled to sections: what is between two
pauses. A section is an Emission of its own; all sections together are the recording's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
from torch import Tensor

from speechgru.audio import Samples
from speechgru.audio.levels import frame_levels
from speechgru.audio.segmentation import LONGEST, Grid, Segment, cut
from speechgru.checkpoint import Checkpoint, inference
from speechgru.decoding import Emission
from speechgru.decoding.stitching import stitch
from speechgru.decoding.transcript import SILENT_DB
from speechgru.errors import SpeechgruError

MAX_SECTION = 300.0  # seconds without a pause after which a section ends all the same
IMPOSSIBLE = -30.0  # the log-probability of all tokens but the blank where the model did not run


@dataclass(frozen=True, slots=True)
class Piece:
    """What the model runs on, (frames, size); None for silence, which it does not see. The samples
    of the segment are not kept."""

    features: Tensor | None
    segment: Segment

    @property
    def seconds(self) -> float:
        return self.segment.seconds

    @property
    def is_last(self) -> bool:
        return self.segment.last is None


class Cutter:
    """Cuts the samples of sources into pieces for a model, in seconds: of at least `shortest` where
    a recording is long."""

    def __init__(self, checkpoint: Checkpoint, shortest: float) -> None:
        self.extract, self.shortest = checkpoint.extract, shortest
        features, factor = checkpoint.config.features, checkpoint.config.model.factor
        frame = features.hop * factor
        reach = frame + checkpoint.extract.n_fft
        self.grid = Grid(features.sample_rate, features.hop, frame, reach)

    def pieces(self, blocks: Iterator[Samples]) -> "Iterator[Piece | SpeechgruError]":
        """The pieces of one source. The samples of the first LONGEST seconds are read at once, the
        others as needed. An error ends them."""
        head: list[Samples] = []
        limit = LONGEST * self.grid.rate
        try:
            while sum(map(len, head)) <= limit and (block := next(blocks, None)) is not None:
                head.append(block)
        except SpeechgruError as error:
            return iter([error])
        samples = np.concatenate(head)
        if len(samples) > limit:
            return self._long(chain([samples], blocks))
        levels = frame_levels(samples, self.grid.hop)
        seconds = len(samples) / self.grid.rate
        return iter([self._piece(Segment(samples, levels, 0, None, False, seconds))])

    def _long(self, blocks: Iterable[Samples]) -> "Iterator[Piece | SpeechgruError]":
        try:
            for segment in cut(blocks, self.grid, self.shortest):
                yield self._piece(segment)
        except SpeechgruError as error:
            yield error

    def _piece(self, segment: Segment) -> Piece:
        silent = segment.levels.max(initial=-np.inf) < SILENT_DB and segment.last is not None
        with inference():
            features = None if silent else self.extract(segment.samples)
        return Piece(features, replace(segment, samples=segment.samples[:0].copy()))


class Assembler:
    """The sections of one recording, from the outputs for its pieces, in order.

    Args:
        timing: seconds per model frame, and the time of frame 0.
        hop: seconds per level.
        tokens: size of the vocabulary.
    """

    def __init__(self, timing: tuple[float, float], hop: float, tokens: int) -> None:
        self.step, self.start = timing
        self.hop, self.tokens = hop, tokens
        self._first = 0  # frame of the open section
        self._tables: list[npt.NDArray[np.float32]] = []
        self._levels: list[npt.NDArray[np.float32]] = []
        self._seconds = 0.0

    def add(self, piece: Piece, table: npt.NDArray[np.float32] | None) -> Iterator[Emission]:
        """Take the log-probabilities (frames, tokens) of the next piece; yield what sections are
        complete."""
        segment = piece.segment
        table = self._whole(segment, table)
        if segment.overlaps:
            open_table, open_levels = np.concatenate(self._tables), np.concatenate(self._levels)
            shared = self._first + len(open_table) - segment.first
            seam = stitch(open_table[-shared:], table[:shared])
            kept = len(open_table) - shared + seam
            self._tables, self._levels = [open_table[:kept]], [open_levels[: self._per_frame(kept)]]
            self._seconds = kept * self.step
            if self._seconds >= MAX_SECTION:
                yield self._close()
            self._tables.append(table[seam:])
            self._levels.append(segment.levels[self._per_frame(seam) :])
            self._seconds += segment.seconds - seam * self.step
        else:
            if self._tables:
                yield self._close()
            self._first = segment.first
            self._tables, self._levels, self._seconds = [table], [segment.levels], segment.seconds
        if piece.is_last:
            yield self._close()

    def _whole(
        self, segment: Segment, table: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32]:
        """The frames of a segment: blanks where the model did not run."""
        if segment.last is None:
            assert table is not None
            return table
        length = segment.last - segment.first
        if table is not None:
            return table[:length]
        blanks = np.full((length, self.tokens), IMPOSSIBLE, np.float32)
        blanks[:, 0] = 0.0
        return blanks

    def _per_frame(self, frames: int) -> int:
        return frames * round(self.step / self.hop)

    def _close(self) -> Emission:
        table, levels = np.concatenate(self._tables), np.concatenate(self._levels)
        begin = self._first * self.step
        emission = Emission(
            table, self.step, self.start + begin, self._seconds, levels, self.hop, begin
        )
        self._first += len(table)
        self._tables, self._levels, self._seconds = [], [], 0.0
        return emission
