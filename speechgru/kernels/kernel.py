"""One recurrent layer on the CPU kernels, with and without gradients."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from speechgru.kernels import buffers, threads
from speechgru.kernels.chunk import LONGEST, Chunk, Chunks
from speechgru.kernels.gates import GATES
from speechgru.kernels.layout import Layout, layout_of
from speechgru.kernels.packed import PackedWeights, Weights, pack_copies
from speechgru.kernels.passes import (
    ForwardPass,
    backward,
    forward,
    input_gradient,
    weight_gradients,
)
from speechgru.kernels.plans import thread_plan


class Kernel:
    """One recurrent layer of `cell`. It has no parameters, only packed copies of weights.

    `precision` "bfloat16": weights and what they are multiplied with, and the factors of gradients,
    are rounded to bfloat16; sums, gates, states and results stay float32.
    """

    def __init__(self, cell: str, precision: str = "float32") -> None:
        if cell not in GATES:
            raise ValueError(f"no CPU kernel for {cell!r}: expected one of {', '.join(GATES)}")
        self.cell, self.precision = cell, precision
        self._cache: PackedWeights | None = None
        self._chunks = Chunks()
        self._frozen: Identity | None = None  # of what the cache was packed from,
        self._weights: list[Weights] | None = None  # and those weights themselves

    def __getstate__(self) -> dict[str, Any]:
        return {"cell": self.cell, "precision": self.precision}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __call__(
        self,
        x: Tensor,
        lengths: Tensor,
        weights: list[Weights],
        state: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """y (batch, frames, directions·H), zero at padded frames, and the state after each row's
        last frame, tensors (directions, batch, H). Without `state` it starts from zeros.

        x (batch, frames, input), lengths (batch,) int64, weights of each direction.
        Raises ValueError for arguments that do not fit together.
        """
        if state is not None and (chunk := self._chunk(x, lengths, weights, state)) is not None:
            return chunk(x, state)
        layout = layout_of(self.cell, x.dtype, weights[0][1].shape[-1])
        _check(layout, x, lengths, weights, state)
        flat = [w for direction in weights for w in direction]
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *(state or ()), *flat)):
            if state is None:
                zeros = x.new_zeros(len(weights), x.shape[0], layout.hidden)
                state = (zeros,) * layout.shape.states
            bf16 = self._rounds(x.dtype)
            y, *final = _Recurrence.apply(layout, bf16, lengths, len(weights), x, *state, *flat)
            return y, tuple(final)
        y, last, run = forward(self._packed(layout, weights), x, lengths, state, save=False)
        buffers.give(run.tape)
        return y, last

    def _chunk(
        self,
        x: Tensor,
        lengths: Tensor,
        weights: list[Weights],
        state: tuple[Tensor, ...],
    ) -> Chunk | None:
        """For the next small chunk of one recording, with the frozen weights of the last call."""
        cache, frozen = self._cache, self._frozen
        if cache is None or frozen is None or cache.bf16 or len(weights) != 1 or x.dim() != 3:
            return None
        first, (batch, frames, width), states = weights[0][0], x.shape, len(state)
        shape, tensors = (1, 1, cache.layout.hidden), (x, *state)
        if (
            batch == 1
            and 0 < frames <= LONGEST
            and lengths.tolist() == [frames]
            and width == first.shape[1]
            and states == cache.layout.shape.states
            and [(t.dtype, t.is_cpu) for t in tensors] == [(first.dtype, True)] * (states + 1)
            and [part.shape for part in state] == [shape] * states
            and not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))
            and _unchanged(weights[0], frozen)
            and (
                threads.limit() == 1 or thread_plan(threads.limit(), 1, 1, cache.layout).parts == 1
            )
        ):
            return self._chunks.get(cache, x)
        return None

    def _rounds(self, dtype: torch.dtype) -> bool:
        return self.precision == "bfloat16" and dtype == torch.float32

    def _packed(self, layout: Layout, weights: list[Weights]) -> PackedWeights:
        """The packed weights, packed again if anything has changed a weight.

        All are compared with copies: neither optimisers nor writes to `.data` leave another trace.
        Only for small chunks would that take longer than the rest: there, the version counters of
        frozen parameters must do (`_chunk`), which do not count writes to `.data`.
        """
        bf16 = self._rounds(weights[0][0].dtype)
        cached, frozen = self._cache, _frozen(weights)
        if cached is None or not cached.is_of(layout, weights, bf16):
            cached = self._cache = pack_copies(layout, weights, bf16)
        # kept, so that no other weight can have their ids
        self._frozen, self._weights = frozen, weights if frozen else None
        return cached


Identity = tuple[tuple[int, int, int], ...]


def _frozen(weights: list[Weights]) -> Identity | None:
    """Object, address and version of each weight; None if one is not a frozen parameter."""
    flat = [weight for direction in weights for weight in direction]
    if any(
        weight.requires_grad or weight.is_inference() or not isinstance(weight, nn.Parameter)
        for weight in flat
    ):
        return None
    return tuple((id(weight), weight.data_ptr(), weight._version) for weight in flat)


def _unchanged(weights: Weights, frozen: Identity) -> bool:
    """Whether `frozen` is still the identity of these weights."""
    for weight, (number, address, version) in zip(weights, frozen, strict=True):
        if (
            id(weight) != number
            or weight.data_ptr() != address
            or weight._version != version
            or weight.requires_grad
        ):
            return False
    return True


class _Recurrence(torch.autograd.Function):
    """forward(layout, bf16, lengths, directions, x, states…, weights…) -> (y, final states…)"""

    @staticmethod
    def forward(
        ctx: Any, layout: Layout, bf16: bool, lengths: Tensor, directions: int, x: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        ctx.layout, ctx.bf16, ctx.directions = layout, bf16, directions
        ctx.save_for_backward(lengths, x, *rest)
        y, final, ctx.run = _saved_forward(layout, bf16, directions, lengths, x, rest)
        return y, *final

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, *grad_state: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError(
                'the CPU kernels have no second derivatives; use backend = "unroll" for them'
            )
        lengths, x, *rest = ctx.saved_tensors
        layout, directions = ctx.layout, ctx.directions
        # The loop turns the tape into gradients: a second backward pass needs a new one.
        run = ctx.run or _saved_forward(layout, ctx.bf16, directions, lengths, x, rest)[2]
        ctx.run = None
        grad_first = backward(run, grad_y, grad_state)
        needed = ctx.needs_input_grad
        grads = weight_gradients(run, needed[5 + layout.shape.states :])
        grad_x = input_gradient(run, x.shape) if needed[4] else None
        buffers.give(run.tape)
        return None, None, None, None, grad_x, *grad_first, *grads


def _saved_forward(
    layout: Layout, bf16: bool, directions: int, lengths: Tensor, x: Tensor,
    rest: Sequence[Tensor],
) -> tuple[Tensor, tuple[Tensor, ...], ForwardPass]:  # fmt: skip
    state, flat = rest[: layout.shape.states], iter(rest[layout.shape.states :])
    weights: list[Weights] = list(zip(flat, flat, flat, flat, strict=True))
    assert len(weights) == directions
    return forward(PackedWeights(layout, weights, bf16), x, lengths, state, save=True)


def _check(
    layout: Layout,
    x: Tensor,
    lengths: Tensor,
    weights: Sequence[Weights],
    state: Sequence[Tensor] | None,
) -> None:
    """Raises ValueError: the kernels use bare addresses and would read whatever is there."""
    if x.dim() != 3:
        raise ValueError(f"input of shape {tuple(x.shape)}: expected (batch, frames, input)")
    batch, frames, width = x.shape
    rows = layout.shape.gates * layout.hidden
    shapes = ((rows, width), (rows, layout.hidden), (rows,), (rows,))
    expected = [
        (w, shape) for direction in weights for w, shape in zip(direction, shapes, strict=True)
    ]
    if state is not None:
        if len(state) != layout.shape.states:
            raise ValueError(
                f"{len(state)} state tensors: expected {layout.shape.states} for {layout.cell}"
            )
        expected += [(s, (len(weights), batch, layout.hidden)) for s in state]
    for tensor, shape in expected:
        if tensor.shape != shape or tensor.dtype != x.dtype or tensor.device != x.device:
            raise ValueError(
                f"a tensor {tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}: "
                f"expected {shape} of {x.dtype} on {x.device} for input {tuple(x.shape)}"
            )
    if lengths.shape != (batch,) or lengths.dtype != torch.int64:
        raise ValueError(
            f"lengths {tuple(lengths.shape)} of {lengths.dtype}: expected ({batch},) of torch.int64"
        )
    counts = lengths.tolist()
    if batch and not 0 <= min(counts) <= max(counts) <= frames:
        raise ValueError(f"lengths {counts}: expected 0 to {frames} frames")
