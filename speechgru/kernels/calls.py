"""Calling the compiled kernels: their arguments, made from tensors, and how many threads."""

import ctypes

import torch
from torch import Tensor

from speechgru.kernels import threads
from speechgru.kernels.layout import WIDE, Layout, vector_bytes
from speechgru.kernels.plans import Plan
from speechgru.kernels.rows import Rows

CACHED = 1 << 18
"""Bytes of a product's left side that stay in the second-level cache beside a panel."""


def _run(
    what: str,
    kind: str,
    dtype: torch.dtype,
    short: bool,
    threads_: int,
    arguments: tuple[int, ...],
) -> None:
    from speechgru.kernels import compiled  # brings numba

    kernel = compiled.kernel(what, kind, dtype, short)
    numbers = (ctypes.c_int64 * len(arguments))(*arguments)
    threads.run(kernel, ctypes.addressof(numbers), threads_)


def recur(
    back: bool,
    layout: Layout,
    rows: Rows,
    plan: Plan,
    *,
    tape: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    state: Tensor,
    state_next: Tensor,
    left: Tensor,
    left_next: Tensor,
    scratch: Tensor,
    save: bool,
) -> None:
    """The loop over time; see `loops.Arguments`.

    `left` is `state`, or its h as pairs of bfloat16, (directions, batch, pairs) int32.
    """
    if rows.frames == 0:
        return
    barriers = (ctypes.c_int64 * (8 * rows.teams))()
    depth = layout.hidden if weight.dtype != torch.int32 else -(-layout.hidden // 2)
    used = min(plan.threads, plan.parts * rows.teams)
    size = tape.element_size()
    _run(
        "backward" if back else "forward",
        layout.kind,
        tape.dtype,
        weight.dtype == torch.int32,
        used,
        (
            threads.THREAD_COUNT if used > 1 else 0,
            threads.THREAD_INDEX if used > 1 else 0,
            threads.GIVE_WAY,
            ctypes.addressof(barriers),
            rows.teams_at,
            rows.teams,
            plan.parts,
            layout.hidden,
            layout.padded,
            rows.lengths_at,
            rows.first_frame_at,
            rows.first_output_at,
            tape.data_ptr(),
            tape.stride(0) * size,
            tape.stride(1) * size,
            y.data_ptr(),
            y.shape[-1] * size,
            weight.data_ptr(),
            weight.stride(0) * size,
            bias.data_ptr(),
            bias.stride(0) * size,
            state.data_ptr(),
            state_next.data_ptr(),
            left.data_ptr(),
            left_next.data_ptr(),
            left.stride(1) * left.element_size(),
            depth,
            scratch.data_ptr(),
            scratch.stride(0) * size,
            int(save),
        ),
    )


def multiply(
    a: Tensor,
    *,
    a_next: int,
    k: int,
    w: Tensor,
    start: Tensor,
    c: Tensor,
    c_next: int,
    vectors: int,
    summed: bool,
    limit: int,
) -> None:
    """c[i] = start[i] + a[i] @ w[i] for every panel matrix in w; or c = the sum of all, if summed.

    With pairs of bfloat16 (int32) in a and w, k counts the pairs and * is their dot product.
    `a` and `c` are rows with a unit stride; `a[i]` and `c[i]` start i * `_next` elements later.
    """
    items, rows, size = len(w), len(a), a.element_size()
    if not rows:
        return
    chunk = max(8, CACHED // (k * size) // 8 * 8)
    jobs = max(1, rows // chunk) * (1 if summed else items)
    # Some more jobs than threads, so that none waits long for the last.
    groups = 1 if jobs >= 2 * limit else min(-(-vectors // WIDE), 2 * limit)
    ticket = ctypes.c_int64(0)
    _run(
        "multiply",
        "",
        c.dtype,
        a.dtype == torch.int32,
        min(limit, jobs * groups),
        (
            ctypes.addressof(ticket),
            items,
            int(summed),
            rows,
            k,
            vectors,
            chunk,
            groups,
            a.data_ptr(),
            a.stride(0) * size,
            a_next * size,
            w.data_ptr(),
            w.stride(0) * size,
            start.data_ptr(),
            0,
            start.stride(0) * size,
            c.data_ptr(),
            c.stride(0) * size,
            c_next * size,
        ),
    )


def accumulate(
    a: Tensor, a_next: int, columns: int, b: Tensor, b_next: int, items: int, limit: int
) -> Tensor:
    """(items, columns, width of b): the transpose of a[i] times b[i], summed over their rows.

    `columns` of a, from its first one; `a[i]` and `b[i]` start i * `_next` elements later.
    """
    size = a.element_size()
    lanes = vector_bytes() // size
    rows, width = b.shape
    vectors = -(-width // lanes)
    if rows == 0:
        return a.new_zeros(items, columns, width)
    result = a.new_empty(items, columns, vectors * lanes)
    chunk = min(512, max(64, 2 * CACHED // (vectors * lanes * size)), rows)
    splits = max(1, limit // items)
    # Of each job: packed rows of b, and a few packed columns of a.
    scratch = a.new_empty(items * splits, chunk * (vectors * lanes + 8))
    zeros = a.new_zeros(WIDE * lanes)
    ticket = ctypes.c_int64(0)
    _run(
        "accumulate",
        "",
        a.dtype,
        False,
        min(limit, items * splits),
        (
            ctypes.addressof(ticket),
            items,
            splits,
            rows,
            chunk,
            columns,
            width,
            a.data_ptr(),
            a.stride(0) * size,
            a_next * size,
            b.data_ptr(),
            b.stride(0) * size,
            b_next * size,
            result.data_ptr(),
            result.stride(0) * size,
            zeros.data_ptr(),
            scratch.data_ptr(),
            scratch.stride(0) * size,
        ),
    )
    return result[:, :, :width]
