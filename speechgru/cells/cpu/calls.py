"""Calling the compiled kernels: their arguments, made from tensors, and how many threads."""

import numpy as np
import torch
from torch import Tensor

from speechgru.cells.cpu import threads
from speechgru.cells.cpu.layout import WIDE, Layout, vector_bytes
from speechgru.cells.cpu.rows import Ints, Rows

CACHED = 1 << 18
"""Bytes of a product's left side that stay in the second-level cache beside a panel."""


def _run(what: str, kind: str, dtype: torch.dtype, arguments: Ints, jobs: int) -> None:
    from speechgru.cells.cpu import compiled  # brings numba

    address = compiled.kernel(what, kind, dtype)
    threads.run(address, arguments.ctypes.data, min(threads.limit(), jobs))


def recur(
    back: bool, layout: Layout, rows: Rows, parts: int, tape: Tensor, y: Tensor, weight: Tensor,
    bias: Tensor, state: Tensor, state_next: Tensor, scratch: Tensor, save: bool,
) -> None:
    """The loop over time; see `loops.Arguments`."""
    batch, directions = len(rows.lengths), tape.shape[1]
    if rows.frames == 0:
        return
    teams = np.array(
        [(d, d * batch + first, count) for d in range(directions) for first, count in rows.groups],
        np.int64,
    )
    by_row = np.array([rows.lengths, rows.first_frame, rows.first_output], np.int64)
    by_row = np.tile(by_row, (1, directions))
    lengths, first_frame, first_output = (row.ctypes.data for row in by_row)
    barriers = np.zeros(8 * len(teams) + 8, np.int64)
    size, pool = tape.element_size(), parts * len(teams) > 1
    arguments = np.array(
        (
            threads.THREAD_COUNT if pool else 0, threads.THREAD_INDEX if pool else 0,
            threads.GIVE_WAY, barriers.ctypes.data, teams.ctypes.data, len(teams), parts,
            layout.hidden, layout.padded, lengths, first_frame, first_output,
            tape.data_ptr(), tape.stride(0) * size, tape.stride(1) * size,
            y.data_ptr(), y.shape[-1] * size,
            weight.data_ptr(), weight.stride(0) * size, bias.data_ptr(), bias.stride(0) * size,
            state.data_ptr(), state_next.data_ptr(),
            scratch.data_ptr(), scratch.stride(0) * size, int(save),
        ),
        np.int64,
    )
    what = "backward" if back else "forward"
    _run(what, layout.kind, tape.dtype, arguments, parts * len(teams))


def multiply(
    a: Tensor, a_next: int, k: int, w: Tensor, start: Tensor, c: Tensor, c_next: int,
    vectors: int, summed: bool,
) -> None:
    """c[i] = start[i] + a[i] @ w[i] for every panel matrix in w; or c = the sum of all, if summed.

    `a` and `c` are rows with a unit stride; `a[i]` and `c[i]` start i * `_next` elements later.
    """
    count, rows, size = len(w), len(a), a.element_size()
    if not rows or not count:
        return
    chunk = max(8, CACHED // (k * size + 1) // 8 * 8)
    jobs = max(1, rows // chunk) * (1 if summed else count)
    wanted = 2 * threads.limit()
    groups = 1 if jobs >= wanted else min(-(-vectors // WIDE), wanted)
    ticket = np.zeros(8, np.int64)
    arguments = np.array(
        (
            ticket.ctypes.data, count, int(summed), rows, k, vectors, chunk, groups,
            a.data_ptr(), a.stride(0) * size, a_next * size, w.data_ptr(), w.stride(0) * size,
            start.data_ptr(), 0, start.stride(0) * size, c.data_ptr(), c.stride(0) * size,
            c_next * size,
        ),
        np.int64,
    )
    _run("multiply", "", a.dtype, arguments, jobs * groups)


def accumulate(a: Tensor, a_next: int, columns: int, b: Tensor, b_next: int, count: int) -> Tensor:
    """(count, columns, width of b): the transpose of a[i] times b[i], summed over their rows.

    `columns` of a, from its first one; `a[i]` and `b[i]` start i * `_next` elements later.
    """
    size = a.element_size()
    lanes = vector_bytes() // size
    rows, width = b.shape
    vectors = -(-width // lanes)
    c = a.new_zeros if rows == 0 else a.new_empty
    result = c(count, columns, vectors * lanes)
    if rows == 0:
        return result[:, :, :width]
    chunk = min(512, max(64, 2 * CACHED // (vectors * lanes * size)), rows)
    splits = max(1, threads.limit() // count)
    scratch = a.new_empty(count * splits, chunk * (vectors * lanes + 8))
    zeros = a.new_zeros(WIDE * lanes)
    ticket = np.zeros(8, np.int64)
    arguments = np.array(
        (
            ticket.ctypes.data, count, splits, rows, chunk, columns, width,
            a.data_ptr(), a.stride(0) * size, a_next * size,
            b.data_ptr(), b.stride(0) * size, b_next * size,
            result.data_ptr(), result.stride(0) * size, zeros.data_ptr(),
            scratch.data_ptr(), scratch.stride(0) * size,
        ),
        np.int64,
    )
    _run("accumulate", "", a.dtype, arguments, count * splits)
    return result[:, :, :width]
