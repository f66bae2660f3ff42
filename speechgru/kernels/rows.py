"""The order in which the loops process the utterances of a batch, and their states in it."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechgru.kernels.layout import Layout

Ints = np.ndarray[Any, np.dtype[np.int64]]


class BatchRows:
    """The utterances of a batch in the order of the loops, and the positions of their frames.

    Sorted by length, longest first, and dealt to `groups` teams per direction; `valid` are the
    indices of the frames that are not padding, None if there is no padding.
    """

    def __init__(self, sizes: Ints, frames: int, directions: int, groups: int) -> None:
        batch = len(sizes)
        start = np.arange(batch, dtype=np.int64) * frames
        packed = np.cumsum(sizes) - sizes
        bounds = np.arange(groups + 1) * batch // groups
        self.batch, self.directions, self.teams = batch, directions, directions * groups
        self.frames = int(sizes.sum())
        self.order: Tensor | None = None
        self.valid: Tensor | None = None
        self.odd: Tensor | None = None  # which rows end after an odd number of steps
        if self.frames < batch * frames:
            # Round robin, so that every team has long and short ones. The teams with a row less
            # come first, as in `bounds`.
            by_length = np.argsort(-sizes, kind="stable")
            order = np.concatenate([by_length[g::groups] for g in reversed(range(groups))])
            valid = np.flatnonzero(np.arange(frames) < sizes[:, None])
            sizes, packed, start = sizes[order], packed[order], start[order]
            self.order, self.valid = torch.from_numpy(order), torch.from_numpy(valid)
            self.odd = torch.from_numpy(sizes % 2 == 1)
        elif frames % 2:
            self.odd = torch.ones(batch, dtype=torch.bool, device="cpu")
        teams = [
            (d, d * batch + first, last - first)
            for d in range(directions)
            for first, last in pairwise(bounds.tolist())
        ]
        # The loops read: (direction, first row, rows) of each team, then each row's length, first
        # frame in the tape and first frame in the output.
        rows = np.tile(np.stack([sizes, packed, start]), (1, directions))
        self._numbers = np.concatenate([np.array(teams).ravel(), rows.ravel()]).astype(np.int64)
        at, count = self._numbers.ctypes.data, batch * directions
        self.teams_at, self.lengths_at = at, at + 24 * len(teams)
        self.first_frame_at = self.lengths_at + 8 * count
        self.first_output_at = self.first_frame_at + 8 * count


@lru_cache(maxsize=64)
def _uniform(batch: int, frames: int, directions: int, groups: int) -> BatchRows:
    return BatchRows(np.full(batch, frames, np.int64), frames, directions, groups)


def arrange(lengths: Tensor, frames: int, directions: int, groups: int) -> BatchRows:
    """The rows for a padded batch of `frames`."""
    batch = lengths.shape[0]
    if batch == 0 or min(lengths.tolist()) == frames:
        return _uniform(batch, frames, directions, groups)
    return BatchRows(lengths.numpy(), frames, directions, groups)


def to_rows(
    layout: Layout, rows: BatchRows, state: Sequence[Tensor] | None, like: Tensor
) -> Tensor:
    """States (directions, batch, hidden) in the loops' order: (…, states, padded)."""
    buffer = like.new_zeros(rows.directions, rows.batch, layout.shape.states, layout.padded)
    for s, value in enumerate(state or ()):
        chosen = value if rows.order is None else value[:, rows.order]
        buffer[:, :, s, : layout.hidden] = chosen
    return buffer


def from_rows(layout: Layout, rows: BatchRows, buffer: Tensor) -> tuple[Tensor, ...]:
    """The reverse of `to_rows`."""
    result = []
    for s in range(layout.shape.states):
        value = buffer[:, :, s, : layout.hidden]
        if rows.order is None:
            result.append(value.clone(memory_format=torch.contiguous_format))
        else:
            shape = (rows.directions, rows.batch, layout.hidden)
            result.append(value.new_empty(shape).index_copy_(1, rows.order, value))
    return tuple(result)
