"""The order of weights in the memory that the kernels read."""

from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from speechgru.kernels.gates import GATES, GateShape


@cache
def vector_bytes() -> int:
    """64 with AVX-512, else 32."""
    return 64 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else 32


WIDE = 3
"""Vectors of a panel of columns."""


def column_panels(matrix: Tensor, lanes: int) -> Tensor:
    """A matrix (k, columns) as flat panels (k, WIDE * lanes), the last one narrower if necessary.

    Columns are padded with zeros to whole vectors.
    """
    k, columns = matrix.shape
    matrix = torch.nn.functional.pad(matrix, (0, -columns % lanes))
    whole = matrix.shape[1] // (WIDE * lanes) * WIDE * lanes
    panels = matrix[:, :whole].view(k, -1, WIDE * lanes).transpose(0, 1)
    return torch.cat([panels.flatten(), matrix[:, whole:].flatten()])


def bf16_pairs(rows: Tensor) -> Tensor:
    """(…, k) float32 → (…, ⌈k / 2⌉) int32: two neighbours each, rounded to bfloat16; an odd last
    one is paired with zero."""
    even = torch.nn.functional.pad(rows, (0, 1)) if rows.shape[-1] % 2 else rows
    return even.to(torch.bfloat16).contiguous().view(torch.int32)


@dataclass(frozen=True)
class Layout:
    """Of a layer of one hidden size.

    Units are padded with zeros to whole blocks; gates are in the order that the kernel uses.
    """

    cell: str
    hidden: int
    lanes: int

    @property
    def shape(self) -> GateShape:
        return GATES[self.cell].shape

    @cached_property
    def block(self) -> int:
        return self.shape.wide * self.lanes

    @cached_property
    def blocks(self) -> int:
        return -(-self.hidden // self.block)

    @cached_property
    def padded(self) -> int:
        return self.blocks * self.block

    @property
    def weight_bytes(self) -> int:
        """Of one direction's recurrent weights, padding included, in the state's own type."""
        return self.shape.gates * self.padded * self.hidden * (vector_bytes() // self.lanes)

    def _gates(self, weight: Tensor, order: tuple[int, ...]) -> Tensor:
        """torch's (gates * hidden, columns) as (gates, padded, columns)."""
        split = weight.view(self.shape.gates, self.hidden, -1)
        if self.padded == self.hidden:
            return split[list(order)]
        full = weight.new_zeros(self.shape.gates, self.padded, split.shape[2])
        for to, of in enumerate(order):
            full[to, : self.hidden] = split[of]
        return full

    def input_rows(self, weight: Tensor) -> Tensor:
        """(gates * padded, columns)"""
        return self._gates(weight, GATES[self.cell].input_order).flatten(0, 1)

    def panels(self, weight: Tensor, bf16: bool = False) -> Tensor:
        """The recurrent weights for the forward loop: (blocks, columns, gates, block), or pairs
        of columns if `bf16`."""
        full = self._gates(weight, GATES[self.cell].recurrent_order)
        full = bf16_pairs(full) if bf16 else full
        count = self.shape.gates
        return full.view(count, self.blocks, self.block, -1).permute(1, 3, 0, 2).contiguous()

    def back_panels(self, weight: Tensor, bf16: bool = False) -> Tensor:
        """The recurrent weights for the backward loop: columns of (gates * padded, padded), or
        pairs of rows if `bf16`."""
        full = self._gates(weight, GATES[self.cell].recurrent_order).flatten(0, 1)
        padded = torch.nn.functional.pad(full, (0, self.padded - self.hidden))
        return column_panels(bf16_pairs(padded.t()).t() if bf16 else padded, self.lanes)

    def unpack_inputs(self, grad: Tensor) -> Tensor:
        """The reverse of `input_rows`."""
        return self._unpack(grad, GATES[self.cell].input_order)

    def unpack_recurrent(self, grad: Tensor) -> Tensor:
        """(gates * padded, columns) in the recurrent order → torch's order, without padding."""
        return self._unpack(grad, GATES[self.cell].recurrent_order)

    def _unpack(self, grad: Tensor, order: tuple[int, ...]) -> Tensor:
        split = grad.view(self.shape.gates, self.padded, -1)[:, : self.hidden]
        back = [order.index(g) for g in range(len(order))]
        return split[back].flatten(0, 1)


@cache
def layout_of(cell: str, dtype: torch.dtype, hidden: int) -> Layout:
    return Layout(cell, hidden, vector_bytes() // dtype.itemsize)
