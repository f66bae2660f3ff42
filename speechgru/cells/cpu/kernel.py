"""One recurrent layer on the compiled loops: packing, buffers, and its place in autograd.

    x (batch, frames, input) ──one product for all frames──> tape ──loop──> y, final state

The tape holds, for every valid frame and direction, the input part of the gates; in training the
loop leaves in it what the backward loop needs, and that leaves the gradients of the gates there.
All gradients of weights are then large matrix products over the tape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechgru.cells.cpu import threads
from speechgru.cells.cpu.gates import CELLS
from speechgru.cells.cpu.layout import Layout, layout_of

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass
class Rows:
    """Which utterance each row of the loops is, and where its frames are.

    Utterances are sorted by length, longest first, and dealt to `groups` of rows; `valid` are the
    indices of the frames that are not padding, None if all are.
    """

    lengths: Tensor
    order: Tensor | None
    groups: list[tuple[int, int]]
    row_lengths: np.ndarray[Any, Any]
    first_frame: np.ndarray[Any, Any]
    first_output: np.ndarray[Any, Any]
    frames: int
    valid: Tensor | None


def arrange(lengths: Tensor, frames: int, groups: int) -> Rows:
    """The rows of one direction for utterances of these lengths, in a padded batch of `frames`."""
    batch = len(lengths)
    sizes = lengths.numpy()
    start = np.arange(batch, dtype=np.int64) * frames
    bounds = np.arange(groups + 1) * batch // groups
    if not batch or sizes.min() == frames:
        parts = [(int(a), int(b - a)) for a, b in pairwise(bounds)]
        return Rows(lengths, None, parts, sizes, start, start, batch * frames, None)
    by_length = np.argsort(-sizes, kind="stable")
    dealt = [by_length[g::groups] for g in range(groups)]
    order = np.concatenate(dealt)
    parts, at = [], 0
    for group in dealt:
        parts.append((at, len(group)))
        at += len(group)
    packed = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    valid = np.flatnonzero(np.arange(frames) < sizes[:, None])
    return Rows(
        lengths, torch.from_numpy(order), parts, np.ascontiguousarray(sizes[order]),
        packed[order], start[order], len(valid), torch.from_numpy(valid),
    )


@dataclass
class Packed:
    """The weights of a layer in the order the loops read them."""

    layout: Layout
    directions: list[Weights]

    @cached_property
    def inputs(self) -> list[Tensor]:
        """(gates * padded, input) of each direction."""
        return [self.layout.input_rows(w[0]) for w in self.directions]

    @cached_property
    def input_bias(self) -> list[Tensor]:
        return [self.layout.input_rows(w[2][:, None])[:, 0] for w in self.directions]

    @cached_property
    def panels(self) -> Tensor:
        """(directions, blocks, hidden, gates, units of a block)"""
        return torch.stack([self.layout.panels(w[1]) for w in self.directions])

    @cached_property
    def bias(self) -> Tensor:
        """(directions, blocks, gates, units of a block)"""
        return torch.stack([self.layout.panels(w[3][:, None])[:, 0] for w in self.directions])

    @cached_property
    def back_panels(self) -> Tensor:
        return torch.stack([self.layout.back_panels(w[1]) for w in self.directions])


def plan(directions: int, batch: int, layout: Layout) -> tuple[int, int]:
    """(groups of rows for each direction, threads for each group)"""
    free = max(1, threads.limit() // directions)
    groups = max(1, min(free, batch // 8))
    return groups, max(1, min(free // groups, layout.blocks))


@dataclass
class Pass:
    """One run over a batch: its rows, its buffers and the arguments of both loops."""

    packed: Packed
    rows: Rows
    x: Tensor  # (valid frames, input)
    tape: Tensor  # (valid frames, directions, slots, padded)
    y: Tensor
    final: tuple[Tensor, ...]


def _teams(rows: Rows, directions: int) -> np.ndarray[Any, Any]:
    batch = len(rows.row_lengths)
    return np.array(
        [(d, d * batch + first, count) for d in range(directions) for first, count in rows.groups
         if count],
        dtype=np.int64,
    ).reshape(-1, 3)


def _by_row(values: np.ndarray[Any, Any], directions: int) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(np.tile(values, directions), dtype=np.int64)


def to_rows(layout: Layout, rows: Rows, state: tuple[Tensor, ...] | None, directions: int,
            like: Tensor) -> Tensor:
    """States (directions, batch, hidden) as the loops hold them: (rows, states, padded)."""
    batch = len(rows.row_lengths)
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


def _launch(back: bool, layout: Layout, rows: Rows, directions: int, parts: int,
            tape: Tensor, y: Tensor, weight: Tensor, bias: Tensor, state: Tensor,
            state_next: Tensor, scratch: Tensor, save: bool) -> None:
    teams = _teams(rows, directions)
    if not len(teams) or rows.frames == 0:
        return
    lengths = _by_row(rows.row_lengths, directions)
    first_frame = _by_row(rows.first_frame, directions)
    first_output = _by_row(rows.first_output, directions)
    barriers = np.zeros(8 * len(teams) + 8, np.int64)
    size = tape.element_size()
    pool = parts * len(teams) > 1
    arguments = np.array(
        (
            threads.THREAD_COUNT if pool else 0, threads.THREAD_INDEX if pool else 0,
            threads.GIVE_WAY, barriers.ctypes.data, teams.ctypes.data, len(teams), parts,
            layout.hidden, layout.padded, lengths.ctypes.data, first_frame.ctypes.data,
            first_output.ctypes.data,
            tape.data_ptr(), tape.stride(0) * size, tape.stride(1) * size,
            y.data_ptr(), y.shape[-1] * size,
            weight.data_ptr(), weight.stride(0) * size, bias.data_ptr(), bias.stride(0) * size,
            state.data_ptr(), state_next.data_ptr(),
            scratch.data_ptr(), scratch.stride(0) * size, int(save),
        ),
        dtype=np.int64,
    )
    from speechgru.cells.cpu import compiled  # brings numba

    kernel = compiled.kernel(layout.kind, tape.dtype, back)
    threads.run(kernel, arguments.ctypes.data, min(threads.limit(), parts * len(teams)))


def forward(packed: Packed, x: Tensor, lengths: Tensor, state: tuple[Tensor, ...] | None,
            save: bool) -> Pass:
    layout, directions = packed.layout, len(packed.directions)
    batch, frames, width = x.shape
    groups, parts = plan(directions, batch, layout)
    rows = arrange(lengths, frames, groups)
    flat = x.reshape(batch * frames, width)
    if rows.valid is not None:
        flat = flat[rows.valid]
    shape = layout.shape
    slots = shape.saved + shape.states if save else shape.gates
    tape = x.new_empty(rows.frames, directions, slots, layout.padded)
    for d in range(directions):
        torch.addmm(packed.input_bias[d], flat, packed.inputs[d].t(),
                    out=_columns(tape, d, 0, shape.gates))
    make = x.new_empty if rows.valid is None else x.new_zeros
    y = make(batch, frames, directions * layout.hidden)
    first = to_rows(layout, rows, state, directions, x)
    second = torch.empty_like(first)
    scratch = x.new_empty(max(1, threads.limit()), 24 * layout.lanes)
    _launch(False, layout, rows, directions, parts, tape, y, packed.panels, packed.bias,
            first, second, scratch, save)
    odd = torch.from_numpy(rows.row_lengths % 2 == 1)
    if rows.valid is None:
        last = second if frames % 2 else first
    else:
        last = torch.where(odd[None, :, None, None], second, first)
    return Pass(packed, rows, flat, tape, y, from_rows(layout, rows, last))


def backward(run: Pass, grad_y: Tensor, grad_state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The gradient of the initial state; the gradients of the gates are left in the tape."""
    packed, rows, tape = run.packed, run.rows, run.tape
    layout, directions = packed.layout, len(packed.directions)
    _, parts = plan(directions, len(rows.row_lengths), layout)
    state = to_rows(layout, rows, grad_state, directions, tape)
    scratch = tape.new_empty(state.shape[0] * state.shape[1], layout.shape.gates * layout.padded)
    _launch(True, layout, rows, directions, parts, tape, grad_y.contiguous(),
            packed.back_panels, packed.bias, state, state, scratch, True)
    return from_rows(layout, rows, state)


class Recurrence(torch.autograd.Function):
    """forward(layout, lengths, directions, x, states…, weights…) -> (y, final states…)"""

    @staticmethod
    def forward(ctx: Any, layout: Layout, lengths: Tensor, directions: int, x: Tensor,
                *rest: Tensor) -> tuple[Tensor, ...]:
        ctx.layout, ctx.directions = layout, directions
        ctx.save_for_backward(lengths, x, *rest)
        ctx.run = Recurrence.again(layout, directions, lengths, x, rest)
        y, final = ctx.run.y, ctx.run.final
        ctx.run.y = ctx.run.final = None
        return y, *final

    @staticmethod
    def again(layout: Layout, directions: int, lengths: Tensor, x: Tensor,
              rest: tuple[Tensor, ...]) -> Pass:
        states = layout.shape.states
        weights = rest[states:]
        each = [_four(weights[4 * d : 4 * d + 4]) for d in range(directions)]
        return forward(Packed(layout, each), x, lengths, rest[:states], save=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor, *grad_state: Tensor) -> tuple[Tensor | None, ...]:
        lengths, x, *rest = ctx.saved_tensors
        layout, directions = ctx.layout, ctx.directions
        # The loop turns the tape into gradients: a second backward pass needs a new one.
        run = ctx.run or Recurrence.again(layout, directions, lengths, x, tuple(rest))
        ctx.run = None
        grad_first = backward(run, grad_y, grad_state)
        needed = ctx.needs_input_grad[4 + layout.shape.states :]
        grads: list[Tensor | None] = []
        for d in range(directions):
            grads += _weight_gradients(run, d, needed[4 * d : 4 * d + 4])
        grad_x = _input_gradient(run, x.shape) if ctx.needs_input_grad[3] else None
        return None, None, None, grad_x, *grad_first, *grads


def _four(tensors: Sequence[Tensor]) -> Weights:
    weight_ih, weight_hh, bias_ih, bias_hh = tensors
    return weight_ih, weight_hh, bias_ih, bias_hh


def _columns(tape: Tensor, d: int, slot: int, count: int) -> Tensor:
    """Some slots of one direction as a matrix (frames, count * padded)."""
    _, _, slots, padded = tape.shape
    start = (d * slots + slot) * padded
    return tape.flatten(1)[:, start : start + count * padded]


def _weight_gradients(run: Pass, d: int, needed: tuple[bool, ...]) -> list[Tensor | None]:
    layout, tape = run.packed.layout, run.tape
    shape, hidden = layout.shape, layout.hidden
    from_input = _columns(tape, d, 0, shape.gates)
    from_state = _columns(tape, d, shape.saved - shape.gates, shape.gates)
    grads: list[Tensor | None] = [None] * 4
    if needed[0]:
        grads[0] = layout.unpack_inputs(from_input.t() @ run.x)
    if needed[1]:
        before = _columns(tape, d, shape.saved, 1)[:, :hidden]
        grads[1] = layout.unpack_recurrent(from_state.t() @ before)
    if needed[2]:
        grads[2] = layout.unpack_inputs(from_input.sum(0)[:, None])[:, 0]
    if needed[3]:
        grads[3] = layout.unpack_recurrent(from_state.sum(0)[:, None])[:, 0]
    return grads


def _input_gradient(run: Pass, shape: torch.Size) -> Tensor:
    total: Tensor | None = None
    gates = run.packed.layout.shape.gates
    for d, weight in enumerate(run.packed.inputs):
        columns = _columns(run.tape, d, 0, gates)
        total = columns @ weight if total is None else total.addmm_(columns, weight)
    assert total is not None
    if run.rows.valid is None:
        return total.view(shape)
    full = total.new_zeros(shape[0] * shape[1], shape[2])
    return full.index_copy_(0, run.rows.valid, total).view(shape)


class Kernel:
    """One recurrent layer on the CPU kernels.  Holds no parameters, only their packed copies."""

    def __init__(self, kind: str, precision: str = "float32") -> None:
        if kind not in CELLS:
            raise ValueError(f"no CPU kernel for {kind!r}; there are {', '.join(CELLS)}")
        self.kind, self.precision = kind, precision
        self._cache: tuple[list[Any], Packed] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"kind": self.kind, "precision": self.precision}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __call__(
        self, x: Tensor, lengths: Tensor, weights: list[Weights],
        state: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        layout = layout_of(self.kind, x.dtype, weights[0][1].shape[1])
        flat = [w for direction in weights for w in direction]
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *(state or ()), *flat)):
            if state is None:
                zeros = x.new_zeros(len(weights), x.shape[0], layout.hidden)
                state = (zeros,) * layout.shape.states
            y, *final = Recurrence.apply(layout, lengths, len(weights), x, *state, *flat)
            return y, tuple(final)
        run = forward(self._packed(layout, weights, flat), x, lengths, state, save=False)
        return run.y, run.final

    def _packed(self, layout: Layout, weights: list[Weights], flat: list[Tensor]) -> Packed:
        """The packed weights, packed again if a weight is another tensor or was written to."""
        if any(w.is_inference() for w in flat):  # these keep no count of writes
            return Packed(layout, weights)
        key = [(w, w._version, w.data_ptr()) for w in flat]
        cached = self._cache
        if cached is not None and len(cached[0]) == len(key) and all(
            a[0] is b[0] and a[1:] == b[1:] for a, b in zip(key, cached[0], strict=True)
        ):
            return cached[1]
        packed = Packed(layout, [_four([w.detach() for w in direction]) for direction in weights])
        self._cache = (key, packed)
        return packed
