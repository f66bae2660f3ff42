"""Calls of the compiled kernels: their arguments, made from tensors, and how many threads."""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from speechgru.kernels import threads
from speechgru.kernels.arguments import (
    AccumulateArguments,
    MultiplyArguments,
    RecurrenceArguments,
)
from speechgru.kernels.layout import WIDE, Layout, vector_bytes
from speechgru.kernels.plans import ThreadPlan
from speechgru.kernels.rows import BatchRows

CACHED = 1 << 18
"""Bytes of a product's left side that stay in the second-level cache beside a panel."""


@dataclass(frozen=True)
class LoopTensors:
    """What the loop over time reads and writes; see `RecurrenceArguments`."""

    tape: Tensor
    y: Tensor
    weight: Tensor
    bias: Tensor
    state: Tensor
    state_next: Tensor
    left: Tensor  # `state`, or its h as pairs of bfloat16: (directions, batch, pairs) int32
    left_next: Tensor
    scratch: Tensor


@dataclass(frozen=True)
class Call:
    """A compiled function and its arguments. `counter`: its memory for threads, 0 at the start."""

    function: threads.CompiledFunction
    numbers: "ctypes.Array[ctypes.c_int64]"
    used: int  # threads
    counter: Any

    def run(self) -> None:
        threads.run(self.function, ctypes.addressof(self.numbers), self.used)


def recur(
    name: str, layout: Layout, rows: BatchRows, plan: ThreadPlan, t: LoopTensors, save: bool
) -> None:
    """The loop over time; `name` is forward or backward."""
    if rows.frames:
        loop(name, layout, rows, plan, t, save).run()


def loop(
    name: str, layout: Layout, rows: BatchRows, plan: ThreadPlan, t: LoopTensors, save: bool
) -> Call:
    """The same, to be run; there must be a frame."""
    barriers = (ctypes.c_int64 * (8 * rows.teams))()
    bf16 = t.weight.dtype == torch.int32
    used = min(plan.threads, plan.parts * rows.teams)
    size = t.tape.element_size()
    depth = layout.hidden if name == "forward" else layout.shape.gates * layout.padded
    arguments = RecurrenceArguments(
        thread_count=threads.THREAD_COUNT if used > 1 else 0,
        thread_index=threads.THREAD_INDEX if used > 1 else 0,
        give_way=threads.YIELD,
        barriers=ctypes.addressof(barriers),
        teams=rows.teams_at,
        team_count=rows.teams,
        parts=plan.parts,
        units=layout.hidden,
        padded=layout.padded,
        lengths=rows.lengths_at,
        first_frame=rows.first_frame_at,
        first_output=rows.first_output_at,
        tape=t.tape.data_ptr(),
        tape_step=t.tape.stride(0) * size,
        slots_step=t.tape.stride(1) * size,
        y=t.y.data_ptr(),
        y_step=t.y.shape[-1] * size,
        weight=t.weight.data_ptr(),
        weight_step=t.weight.stride(0) * size,
        bias=t.bias.data_ptr(),
        bias_step=t.bias.stride(0) * size,
        state=t.state.data_ptr(),
        state_next=t.state_next.data_ptr(),
        left=t.left.data_ptr(),
        left_next=t.left_next.data_ptr(),
        left_step=t.left.stride(1) * t.left.element_size(),
        depth=-(-depth // 2) if bf16 else depth,
        scratch=t.scratch.data_ptr(),
        scratch_step=t.scratch.stride(0) * size,
        save=int(save),
    )
    return _call(name, layout.cell, t.tape.dtype, bf16, used, arguments, barriers)


def multiply(
    a: Tensor, a_next: int, w: Tensor, start: Tensor, c: Tensor, c_next: int, summed: bool,
    limit: int,
) -> None:  # fmt: skip
    """c[i] = start[i] + a[i] @ w[i] for every panel matrix in w; or c = the sum of all, if summed.

    `a` and `c` are rows with a unit stride; `a[i]` and `c[i]` start i * `_next` elements later.
    `start` (1 or items, columns) has whole vectors of columns. In int32, `a` and `w` contain pairs
    of bfloat16, whose products are added.
    """
    if a.shape[0]:
        product(a, a_next, w, start, c, c_next, summed, limit).run()


def product(
    a: Tensor, a_next: int, w: Tensor, start: Tensor, c: Tensor, c_next: int, summed: bool,
    limit: int,
) -> Call:  # fmt: skip
    """The same, to be run; there must be a row."""
    items, rows, size = w.shape[0], a.shape[0], a.element_size()
    columns = start.shape[1]
    vectors, k = columns * c.element_size() // vector_bytes(), w.shape[1] // columns
    chunk = max(8, CACHED // (k * size) // 8 * 8)
    jobs = max(1, rows // chunk) * (1 if summed else items)
    # Some more jobs than threads, so that none waits long for the last.
    groups = 1 if jobs >= 2 * limit else min(-(-vectors // WIDE), 2 * limit)
    ticket = ctypes.c_int64(0)
    arguments = MultiplyArguments(
        ticket=ctypes.addressof(ticket),
        items=items,
        summed=int(summed),
        rows=rows,
        k=k,
        vectors=vectors,
        chunk=chunk,
        groups=groups,
        a=a.data_ptr(),
        a_step=a.stride(0) * size,
        a_next=a_next * size,
        w=w.data_ptr(),
        w_next=w.stride(0) * size,
        start=start.data_ptr(),
        start_step=0,
        start_next=start.stride(0) * size,
        c=c.data_ptr(),
        c_step=c.stride(0) * size,
        c_next=c_next * size,
    )
    bf16 = a.dtype == torch.int32
    used = min(limit, jobs * groups)
    return _call("multiply", "", c.dtype, bf16, used, arguments, ticket)


def accumulate(
    a: Tensor, a_next: int, columns: int, b: Tensor, b_next: int, items: int, limit: int,
    bf16: bool = False,
) -> Tensor:  # fmt: skip
    """(items, columns, width of b): the transpose of a[i] times b[i], summed over their rows; with
    `bf16`, factors are rounded to bfloat16.

    The first `columns` of a are used; `a[i]` and `b[i]` start i * `_next` elements later.
    """
    size = a.element_size()
    lanes = vector_bytes() // size
    rows, width = b.shape
    vectors = -(-width // lanes)
    if rows == 0:
        return a.new_zeros(items, columns, width)
    result = a.new_empty(items, columns, vectors * lanes)
    chunk = min(512, max(64, 2 * CACHED // (vectors * lanes * size) // 2 * 2), rows + rows % 2)
    splits = max(1, limit // items)
    # Per job: packed rows of b, and a few packed columns of a.
    scratch = a.new_empty(items * splits, chunk * (vectors * lanes + 8))
    zeros = a.new_zeros(WIDE * lanes)
    ticket = ctypes.c_int64(0)
    arguments = AccumulateArguments(
        ticket=ctypes.addressof(ticket),
        items=items,
        splits=splits,
        rows=rows,
        chunk=chunk,
        columns=columns,
        width=width,
        a=a.data_ptr(),
        a_step=a.stride(0) * size,
        a_next=a_next * size,
        b=b.data_ptr(),
        b_step=b.stride(0) * size,
        b_next=b_next * size,
        c=result.data_ptr(),
        c_next=result.stride(0) * size,
        zeros=zeros.data_ptr(),
        scratch=scratch.data_ptr(),
        scratch_step=scratch.stride(0) * size,
    )
    used = min(limit, items * splits)
    _call("accumulate", "", a.dtype, bf16, used, arguments, ticket).run()
    return result[:, :, :width]


def _call(
    name: str, cell: str, dtype: torch.dtype, bf16: bool, used: int, arguments: tuple[int, ...],
    counter: object,
) -> Call:  # fmt: skip
    numbers = (ctypes.c_int64 * len(arguments))(*arguments)
    return Call(_function(name, cell, dtype, bf16), numbers, used, counter)


@cache
def _function(name: str, cell: str, dtype: torch.dtype, bf16: bool) -> threads.CompiledFunction:
    from speechgru.kernels import compiled  # imports numba

    return compiled.function(name, cell, dtype, bf16)
