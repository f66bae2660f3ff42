"""A small chunk of one recording: what can be prepared once is not done for every chunk.

At 16 frames, making buffers and arguments takes longer than the arithmetic.
"""

import ctypes
import threading
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from speechgru.kernels.arguments import MultiplyArguments, RecurrenceArguments
from speechgru.kernels.calls import LoopTensors, loop, product
from speechgru.kernels.packed import PackedWeights
from speechgru.kernels.plans import ThreadPlan
from speechgru.kernels.rows import arrange

LONGEST = 64  # frames
KEPT = 16  # lengths of chunks
INPUT = MultiplyArguments._fields.index("a")
OUTPUT = RecurrenceArguments._fields.index("y")


class Chunks(threading.local):
    """The prepared chunks of one layer; each thread has its own."""

    def __init__(self) -> None:
        self.packed: PackedWeights | None = None
        self.by_length: dict[int, Chunk] = {}

    def get(self, packed: PackedWeights, x: Tensor) -> "Chunk":
        """For an input (1, frames, input) and weights of one direction."""
        frames = x.shape[1]
        if self.packed is not packed or len(self.by_length) > KEPT:
            self.packed, self.by_length = packed, {}
        if frames not in self.by_length:
            self.by_length[frames] = Chunk(packed, x[0].contiguous())  # as every later one
        return self.by_length[frames]


class Chunk:
    """One row of a fixed length in one direction on one thread, in float32 or float64."""

    def __init__(self, packed: PackedWeights, x: Tensor) -> None:
        layout, frames = packed.layout, x.shape[0]
        self.frames, self.hidden = frames, layout.hidden
        tape = x.new_empty(frames, 1, layout.shape.gates, layout.padded)
        states = x.new_zeros(2, 1, 1, layout.shape.states, layout.padded)
        scratch = x.new_empty(1, 24 * layout.lanes)
        y = x.new_empty(1, frames, layout.hidden)
        rows = arrange(torch.tensor([frames], device=x.device), frames, 1, 1)
        self.product = product(
            x, 0, packed.inputs, packed.input_bias, tape.flatten(1),
            layout.shape.gates * layout.padded, False, 1,
        )  # fmt: skip
        tensors = LoopTensors(
            tape, y, packed.panels, packed.bias, states[0], states[1], states[0], states[1], scratch
        )
        self.loop = loop("forward", layout, rows, ThreadPlan(1, 1, 1), tensors, save=False)
        self.first = [states[0, :, :, s, : layout.hidden] for s in range(layout.shape.states)]
        # Even steps write to the second buffer, odd ones to the first.
        self.last = [
            states[frames % 2, :, :, s, : layout.hidden] for s in range(layout.shape.states)
        ]
        self._multiply, self._recur = (
            partial(call.function.call, ctypes.addressof(call.numbers))
            for call in (self.product, self.loop)
        )
        self._used = tape, scratch, rows, packed  # by address

    def __call__(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `Kernel`: x (1, frames, input), state tensors (1, 1, H)."""
        x = x.contiguous()
        y = x.new_empty(1, self.frames, self.hidden)
        for buffer, value in zip(self.first, state, strict=True):
            buffer.copy_(value)
        self.product.numbers[INPUT] = x.data_ptr()
        self.product.counter.value = 0
        self._multiply()
        self.loop.numbers[OUTPUT] = y.data_ptr()
        self._recur()
        return y, tuple(buffer.clone() for buffer in self.last)
