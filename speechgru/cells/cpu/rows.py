"""Which utterance each row of the loops is, and how states get there and back."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechgru.cells.cpu.layout import Layout

Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Rows:
    """The utterances of a batch in the order the loops take them, and where their frames are.

    Sorted by length, longest first, and dealt to `groups` (first, count); `valid` are the
    indices of the frames that are not padding, None if all are.
    """

    order: Tensor | None
    groups: list[tuple[int, int]]
    lengths: Ints
    first_frame: Ints
    first_output: Ints
    frames: int
    valid: Tensor | None


def arrange(lengths: Tensor, frames: int, groups: int) -> Rows:
    """The rows of one direction, for a padded batch of `frames`."""
    sizes, batch = lengths.numpy(), len(lengths)
    start = np.arange(batch, dtype=np.int64) * frames
    bounds = np.arange(groups + 1) * batch // groups
    parts = [(int(a), int(b - a)) for a, b in pairwise(bounds)]
    if not batch or sizes.min() == frames:
        return Rows(None, parts, sizes, start, start, batch * frames, None)
    by_length = np.argsort(-sizes, kind="stable")
    # Dealt like cards, so that every group has long and short ones; shorter hands come first.
    order = np.concatenate([by_length[g::groups] for g in reversed(range(groups))])
    parts = [(int(a), int(b - a)) for a, b in pairwise(np.cumsum(
        [0, *(len(by_length[g::groups]) for g in reversed(range(groups)))]))]
    packed = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    valid = np.flatnonzero(np.arange(frames) < sizes[:, None])
    return Rows(
        torch.from_numpy(order), parts, sizes[order], packed[order], start[order], len(valid),
        torch.from_numpy(valid),
    )


def to_rows(layout: Layout, rows: Rows, state: tuple[Tensor, ...] | None, directions: int,
            like: Tensor) -> Tensor:
    """States (directions, batch, hidden) as the loops hold them: (rows, states, padded)."""
    batch = len(rows.lengths)
    buffer = like.new_zeros(directions, batch, layout.shape.states, layout.padded)
    for s, value in enumerate(state or ()):
        chosen = value if rows.order is None else value[:, rows.order]
        buffer[:, :, s, : layout.hidden] = chosen
    return buffer


def from_rows(layout: Layout, rows: Rows, buffer: Tensor) -> tuple[Tensor, ...]:
    """The reverse of `to_rows`."""
    result = []
    for s in range(layout.shape.states):
        value = buffer[:, :, s, : layout.hidden]
        if rows.order is not None:
            value = torch.empty_like(value).index_copy_(1, rows.order, value)
        result.append(value.clone() if rows.order is None else value)
    return tuple(result)


