"""The forward and backward pass of one recurrent layer, and the gradients.

    x (batch, frames, input) ──one product for all frames──> tape ──loop──> y, final state

The tape has, for every valid frame and direction, the input part of the gates; in training the
loop replaces it with what the backward loop needs, and that leaves the gradients of the gates.
All gradients of weights are then large matrix products over the tape.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from speechgru.kernels import buffers, threads
from speechgru.kernels.calls import LoopTensors, accumulate, multiply, recur
from speechgru.kernels.layout import bf16_pairs
from speechgru.kernels.packed import PackedWeights
from speechgru.kernels.plans import ThreadPlan, thread_plan
from speechgru.kernels.rows import BatchRows, arrange, from_rows, to_rows


@dataclass
class ForwardPass:
    """What the backward pass needs; return `tape` to `buffers` when it is no longer used."""

    packed: PackedWeights
    rows: BatchRows
    x: Tensor  # (valid frames, input)
    tape: Tensor  # (valid frames, directions, slots, padded)
    plan: ThreadPlan


def forward(
    packed: PackedWeights,
    x: Tensor,
    lengths: Tensor,
    state: Sequence[Tensor] | None,
    save: bool,
) -> tuple[Tensor, tuple[Tensor, ...], ForwardPass]:
    """y, the final state and, with `save`, all that `backward` needs."""
    layout, directions = packed.layout, len(packed.directions)
    batch, frames, width = x.shape
    plan = thread_plan(threads.limit(), directions, batch, layout)
    rows = arrange(lengths, frames, directions, plan.groups)
    flat = x.reshape(batch * frames, width)
    if rows.valid is not None:
        flat = flat[rows.valid]
    if flat.stride(-1) != 1:  # the kernels step from row to row only
        flat = flat.contiguous()
    shape = layout.shape
    slots = shape.saved + shape.states if save else shape.gates
    tape = buffers.take((rows.frames, directions, slots, layout.padded), x.dtype)
    left = bf16_pairs(flat) if packed.bf16 else flat
    multiply(
        left, 0, packed.inputs, packed.input_bias, tape.flatten(1), slots * layout.padded, False,
        plan.threads,
    )  # fmt: skip
    new = x.new_empty if rows.valid is None else x.new_zeros
    y = new(batch, frames, directions * layout.hidden)
    first = to_rows(layout, rows, state, x)
    second = torch.empty_like(first)
    h = bf16_pairs(first[:, :, 0]) if packed.bf16 else first
    h_next = torch.empty_like(h) if packed.bf16 else second
    scratch = x.new_empty(plan.threads, 24 * layout.lanes)
    tensors = LoopTensors(tape, y, packed.panels, packed.bias, first, second, h, h_next, scratch)
    recur("forward", layout, rows, plan, tensors, save)
    # Even steps write to `second`, odd ones to `first`.
    last = first if rows.odd is None else second
    if rows.order is not None and rows.odd is not None:
        last = torch.where(rows.odd[:, None, None], second, first)
    return y, from_rows(layout, rows, last), ForwardPass(packed, rows, flat, tape, plan)


def backward(run: ForwardPass, grad_y: Tensor, grad_state: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradient of the initial state; the gradients of the gates are left in the tape."""
    packed, rows, tape = run.packed, run.rows, run.tape
    layout = packed.layout
    state = to_rows(layout, rows, grad_state, tape)
    scratch = tape.new_empty(rows.directions * rows.batch, layout.shape.gates * layout.padded)
    tensors = LoopTensors(
        tape, grad_y.contiguous(), packed.back_panels, packed.bias, state, state, state, state,
        scratch,
    )  # fmt: skip
    recur("backward", layout, rows, run.plan, tensors, save=True)
    return from_rows(layout, rows, state)


def weight_gradients(run: ForwardPass, needed: Sequence[bool]) -> list[Tensor | None]:
    """Of weight_ih, weight_hh, bias_ih, bias_hh of each direction, after `backward`."""
    layout, tape = run.packed.layout, run.tape
    gates, saved, padded = layout.shape.gates, layout.shape.saved, layout.padded
    directions, flat = tape.shape[1], tape.flatten(1)
    columns, step = gates * padded, tape.stride(1)
    inputs = states = biases = None
    if any(needed[0::4]):
        inputs = accumulate(
            flat, step, columns, run.x, 0, directions, run.plan.threads, run.packed.bf16
        )
    if any(needed[1::4]):
        before = flat[:, saved * padded : saved * padded + layout.hidden]
        ours = flat[:, (saved - gates) * padded :]
        states = accumulate(
            ours, step, columns, before, step, directions, run.plan.threads, run.packed.bf16
        )
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


def input_gradient(run: ForwardPass, shape: torch.Size) -> Tensor:
    """Of x, (batch, frames, input), after `backward`."""
    layout, tape = run.packed.layout, run.tape
    columns = -(-shape[2] // layout.lanes) * layout.lanes
    grad = tape.new_empty(run.rows.frames, columns)
    zeros = tape.new_zeros(1, columns)
    left = bf16_pairs(tape[:, :, : layout.shape.gates].flatten(2)) if run.packed.bf16 else tape
    multiply(
        left.flatten(1), left.stride(1), run.packed.back_inputs, zeros, grad, 0, True,
        run.plan.threads,
    )  # fmt: skip
    grad = grad[:, : shape[2]]
    if run.rows.valid is None:
        return grad.reshape(shape)
    full = grad.new_zeros(shape[0] * shape[1], shape[2])
    return full.index_copy_(0, run.rows.valid, grad).view(shape)
