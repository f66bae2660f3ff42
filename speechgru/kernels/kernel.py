"""One recurrent layer on the compiled loops: packed weights, buffers, and its place in autograd.

    x (batch, frames, input) ──one product for all frames──> tape ──loop──> y, final state

The tape holds, for every valid frame and direction, the input part of the gates; in training the
loop leaves in it what the backward loop needs, and that leaves the gradients of the gates there.
All gradients of weights are then large matrix products over the tape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from speechgru.kernels import buffers, threads
from speechgru.kernels.calls import accumulate, multiply, recur
from speechgru.kernels.gates import CELLS
from speechgru.kernels.layout import Layout, column_panels, layout_of, pair_up
from speechgru.kernels.plans import Plan, candidates, chosen
from speechgru.kernels.rows import Rows, arrange, from_rows, to_rows

Weights = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass
class Packed:
    """The weights of a layer in the order the kernels read them; first axis: directions.

    `short`: `inputs` and `panels` hold pairs of bfloat16.
    """

    layout: Layout
    directions: list[Weights]
    short: bool = False

    @cached_property
    def inputs(self) -> Tensor:
        rows = [self.layout.input_rows(w[0]) for w in self.directions]
        rows = [pair_up(r) for r in rows] if self.short else rows
        return torch.stack([column_panels(r.t(), self.layout.lanes) for r in rows])

    @cached_property
    def input_bias(self) -> Tensor:
        return torch.stack([self.layout.input_rows(w[2][:, None])[:, 0] for w in self.directions])

    @cached_property
    def back_inputs(self) -> Tensor:
        layout = self.layout
        return torch.stack(
            [column_panels(layout.input_rows(w[0]), layout.lanes) for w in self.directions]
        )

    @cached_property
    def panels(self) -> Tensor:
        return torch.stack([self.layout.panels(w[1], self.short) for w in self.directions])

    @cached_property
    def bias(self) -> Tensor:
        return torch.stack([self.layout.panels(w[3][:, None])[:, 0] for w in self.directions])

    @cached_property
    def back_panels(self) -> Tensor:
        return torch.stack([self.layout.back_panels(w[1]) for w in self.directions])


@dataclass
class Pass:
    """What the backward pass needs of a forward pass."""

    packed: Packed
    rows: Rows
    x: Tensor  # (valid frames, input)
    tape: Tensor  # (valid frames, directions, slots, padded)
    plan: Plan


Result = tuple[Tensor, tuple[Tensor, ...], Pass]


def forward(
    packed: Packed, x: Tensor, lengths: Tensor, state: Sequence[Tensor] | None, save: bool
) -> Result:
    """(y, final state, the pass, whose tape is the caller's to give back)"""
    layout, directions = packed.layout, len(packed.directions)
    batch, frames, width = x.shape
    plans = candidates(threads.limit(), directions, batch, layout)
    limit = plans[0].threads
    rows = arrange(lengths, frames, directions, plans[0].groups)
    flat = x.reshape(batch * frames, width)
    if rows.valid is not None:
        flat = flat[rows.valid]
    if flat.stride(-1) != 1:  # the kernels step through rows, not within them
        flat = flat.contiguous()
    shape = layout.shape
    slots = shape.saved + shape.states if save else shape.gates
    tape = buffers.take((rows.frames, directions, slots, layout.padded), x.dtype)
    left = pair_up(flat) if packed.short else flat
    multiply(
        left,
        a_next=0,
        k=left.shape[1],
        w=packed.inputs,
        start=packed.input_bias,
        c=tape.flatten(1),
        c_next=slots * layout.padded,
        vectors=shape.gates * layout.padded // layout.lanes,
        summed=False,
        limit=limit,
    )
    y = (x.new_empty if rows.valid is None else x.new_zeros)(
        batch, frames, directions * layout.hidden
    )
    first = to_rows(layout, rows, state, x)
    second = torch.empty_like(first)
    left, left_next = first, second
    if packed.short:
        left = pair_up(first[:, :, 0])
        left_next = torch.empty_like(left)
    scratch = x.new_empty(limit, 24 * layout.lanes)
    with chosen(plans, rows.frames, layout, batch, packed.short, save) as plan:
        recur(
            False,
            layout,
            rows,
            plan,
            tape=tape,
            y=y,
            weight=packed.panels,
            bias=packed.bias,
            state=first,
            state_next=second,
            left=left,
            left_next=left_next,
            scratch=scratch,
            save=save,
        )
    # Even steps write to `second`, odd ones to `first`.
    last = first if rows.odd is None else second
    if rows.order is not None and rows.odd is not None:
        last = torch.where(rows.odd[:, None, None], second, first)
    return y, from_rows(layout, rows, last), Pass(packed, rows, flat, tape, plan)


def backward(run: Pass, grad_y: Tensor, grad_state: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradient of the initial state; the gradients of the gates are left in the tape."""
    packed, rows, tape = run.packed, run.rows, run.tape
    layout, directions = packed.layout, len(packed.directions)
    state = to_rows(layout, rows, grad_state, tape)
    scratch = tape.new_empty(directions * rows.batch, layout.shape.gates * layout.padded)
    recur(
        True,
        layout,
        rows,
        run.plan,
        tape=tape,
        y=grad_y.contiguous(),
        weight=packed.back_panels,
        bias=packed.bias,
        state=state,
        state_next=state,
        left=state,
        left_next=state,
        scratch=scratch,
        save=True,
    )
    return from_rows(layout, rows, state)


class Recurrence(torch.autograd.Function):
    """forward(layout, lengths, directions, x, states…, weights…) -> (y, final states…)"""

    @staticmethod
    def forward(
        ctx: Any, layout: Layout, lengths: Tensor, directions: int, x: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.layout, ctx.directions = layout, directions
        ctx.save_for_backward(lengths, x, *rest)
        y, final, ctx.run = _again(layout, directions, lengths, x, rest)
        return y, *final

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor, *grad_state: Tensor) -> tuple[Tensor | None, ...]:
        lengths, x, *rest = ctx.saved_tensors
        layout, directions = ctx.layout, ctx.directions
        # The loop turns the tape into gradients: a second backward pass needs a new one.
        run = ctx.run or _again(layout, directions, lengths, x, rest)[2]
        ctx.run = None
        grad_first = backward(run, grad_y, grad_state)
        needed = ctx.needs_input_grad
        grads = _weight_gradients(run, needed[4 + layout.shape.states :])
        grad_x = _input_gradient(run, x.shape) if needed[3] else None
        buffers.give(run.tape)
        return None, None, None, grad_x, *grad_first, *grads


def _again(
    layout: Layout, directions: int, lengths: Tensor, x: Tensor, rest: Sequence[Tensor]
) -> Result:
    weights = rest[layout.shape.states :]
    each = [_four(weights[4 * d : 4 * d + 4]) for d in range(directions)]
    return forward(Packed(layout, each), x, lengths, rest[: layout.shape.states], save=True)


def _four(tensors: Sequence[Tensor]) -> Weights:
    weight_ih, weight_hh, bias_ih, bias_hh = tensors
    return weight_ih, weight_hh, bias_ih, bias_hh


def _weight_gradients(run: Pass, needed: Sequence[bool]) -> list[Tensor | None]:
    """Of weight_ih, weight_hh, bias_ih, bias_hh of each direction."""
    layout, tape = run.packed.layout, run.tape
    gates, saved, padded = layout.shape.gates, layout.shape.saved, layout.padded
    directions, flat = tape.shape[1], tape.flatten(1)
    columns, step = gates * padded, tape.stride(1)
    inputs = states = biases = None
    if any(needed[0::4]):
        inputs = accumulate(flat, step, columns, run.x, 0, directions, run.plan.threads)
    if any(needed[1::4]):
        before = flat[:, saved * padded : saved * padded + layout.hidden]
        ours = flat[:, (saved - gates) * padded :]
        states = accumulate(ours, step, columns, before, step, directions, run.plan.threads)
    if any(needed[2::4]) or any(needed[3::4]):
        biases = tape[:, :, :saved].sum(0).view(directions, saved * padded, 1)
    grads: list[Tensor | None] = []
    for d in range(directions):
        grads.append(None if inputs is None else layout.unpack_inputs(inputs[d]))
        grads.append(None if states is None else layout.unpack_recurrent(states[d]))
        if biases is None:
            grads += [None, None]
        else:
            grads.append(layout.unpack_inputs(biases[d, :columns])[:, 0])
            grads.append(layout.unpack_recurrent(biases[d, -columns:])[:, 0])
    return [grad if wanted else None for grad, wanted in zip(grads, needed, strict=True)]


def _input_gradient(run: Pass, shape: torch.Size) -> Tensor:
    layout, tape = run.packed.layout, run.tape
    vectors = -(-shape[2] // layout.lanes)
    grad = tape.new_empty(run.rows.frames, vectors * layout.lanes)
    zeros = tape.new_zeros(1, vectors * layout.lanes)
    multiply(
        tape.flatten(1),
        a_next=tape.stride(1),
        k=layout.shape.gates * layout.padded,
        w=run.packed.back_inputs,
        start=zeros,
        c=grad,
        c_next=0,
        vectors=vectors,
        summed=True,
        limit=run.plan.threads,
    )
    grad = grad[:, : shape[2]]
    if run.rows.valid is None:
        return grad.reshape(shape)
    full = grad.new_zeros(shape[0] * shape[1], shape[2])
    return full.index_copy_(0, run.rows.valid, grad).view(shape)


_updates = 0


def _count_update(*_: object) -> None:
    global _updates
    _updates += 1


# Torch's fused optimisers write weights without counting it in their versions.
register_optimizer_step_post_hook(_count_update)


def _check(
    layout: Layout,
    x: Tensor,
    lengths: Tensor,
    weights: Sequence[Weights],
    state: Sequence[Tensor] | None,
) -> None:
    """Raises ValueError: the kernels work on bare addresses and would read whatever is there."""
    if x.dim() != 3:
        raise ValueError(f"input of shape {tuple(x.shape)}: expected (batch, frames, values)")
    batch, frames, width = x.shape
    rows = layout.shape.gates * layout.hidden
    shapes = ((rows, width), (rows, layout.hidden), (rows,), (rows,))
    expected = [
        (w, shape) for direction in weights for w, shape in zip(direction, shapes, strict=True)
    ]
    if state is not None:
        if len(state) != layout.shape.states:
            raise ValueError(f"{len(state)} states; {layout.kind} has {layout.shape.states}")
        expected += [(s, (len(weights), batch, layout.hidden)) for s in state]
    for tensor, shape in expected:
        if tensor.shape != shape or tensor.dtype != x.dtype or tensor.device != x.device:
            raise ValueError(
                f"{tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}: "
                f"expected {shape} of {x.dtype} on {x.device} beside input {tuple(x.shape)}"
            )
    if lengths.shape != (batch,) or lengths.dtype != torch.int64:
        raise ValueError(
            f"lengths {tuple(lengths.shape)} of {lengths.dtype}: expected {batch} int64"
        )
    if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= frames:
        raise ValueError(f"lengths {lengths.tolist()}: expected 0 to {frames} frames")


class Kernel:
    """One recurrent layer on the CPU kernels.  Holds no parameters, only their packed copies.

    `precision` "bfloat16": without gradients, weights and what they are multiplied with are
    rounded to bfloat16; sums, gates and states stay float32.
    """

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
        self,
        x: Tensor,
        lengths: Tensor,
        weights: list[Weights],
        state: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `RecurrentLayer.forward`. Raises ValueError for arguments that do not fit together.

        Weights may be changed by an optimiser or any counted write; not through `.data`.
        """
        layout = layout_of(self.kind, x.dtype, weights[0][1].shape[-1])
        _check(layout, x, lengths, weights, state)
        flat = [w for direction in weights for w in direction]
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *(state or ()), *flat)):
            if state is None:
                zeros = x.new_zeros(len(weights), x.shape[0], layout.hidden)
                state = (zeros,) * layout.shape.states
            y, *final = Recurrence.apply(layout, lengths, len(weights), x, *state, *flat)
            return y, tuple(final)
        y, last, run = forward(self._packed(layout, weights, flat), x, lengths, state, save=False)
        buffers.give(run.tape)
        return y, last

    def _packed(self, layout: Layout, weights: list[Weights], flat: list[Tensor]) -> Packed:
        """The packed weights, packed again if a weight is another tensor or was written to."""
        short = self.precision == "bfloat16" and flat[0].dtype == torch.float32
        if any(w.is_inference() for w in flat):  # these keep no count of writes
            return Packed(layout, weights, short)
        key = [(w, w._version, w.data_ptr(), _updates) for w in flat]
        cached = self._cache
        if (
            cached is not None
            and len(cached[0]) == len(key)
            and all(a[0] is b[0] and a[1:] == b[1:] for a, b in zip(key, cached[0], strict=True))
        ):
            return cached[1]
        detached = [_four([w.detach() for w in direction]) for direction in weights]
        packed = Packed(layout, detached, short)
        self._cache = (key, packed)
        return packed
