"""The weights of a layer in the order in which the kernels read them."""

import ctypes
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor

from speechgru.kernels.layout import Layout, bf16_pairs, column_panels
from speechgru.kernels.threads import symbol

Weights = tuple[Tensor, Tensor, Tensor, Tensor]
"""weight_ih, weight_hh, bias_ih, bias_hh of one direction, as torch.nn has them."""


@dataclass
class PackedWeights:
    """Each is packed at its first use; first axis: directions.

    `bf16`: all but the biases are pairs of bfloat16, neighbours in the sum of a product.
    """

    layout: Layout
    directions: list[Weights]
    bf16: bool = False

    @cached_property
    def inputs(self) -> Tensor:
        rows = [self.layout.input_rows(w[0]) for w in self.directions]
        rows = [bf16_pairs(r) for r in rows] if self.bf16 else rows
        return torch.stack([column_panels(r.t(), self.layout.lanes) for r in rows])

    @cached_property
    def input_bias(self) -> Tensor:
        return torch.stack([self.layout.input_rows(w[2][:, None])[:, 0] for w in self.directions])

    @cached_property
    def back_inputs(self) -> Tensor:
        rows = [self.layout.input_rows(w[0]) for w in self.directions]
        rows = [bf16_pairs(r.t()).t() for r in rows] if self.bf16 else rows
        return torch.stack([column_panels(r, self.layout.lanes) for r in rows])

    @cached_property
    def panels(self) -> Tensor:
        return torch.stack([self.layout.panels(w[1], self.bf16) for w in self.directions])

    @cached_property
    def bias(self) -> Tensor:
        return torch.stack([self.layout.panels(w[3][:, None])[:, 0] for w in self.directions])

    @cached_property
    def back_panels(self) -> Tensor:
        return torch.stack([self.layout.back_panels(w[1], self.bf16) for w in self.directions])

    def is_of(self, layout: Layout, directions: list[Weights], bf16: bool) -> bool:
        """Whether packing these would give the same, bit for bit."""
        if (layout, bf16, len(directions)) != (self.layout, self.bf16, len(self.directions)):
            return False
        pairs = zip(chain(*directions), chain(*self.directions), strict=True)
        return all(_same_bytes(weight, copy) for weight, copy in pairs)


def pack_copies(layout: Layout, directions: list[Weights], bf16: bool) -> PackedWeights:
    """Packed from copies, so that later writes to the weights can be seen with `is_of`."""

    def copy(weight: Tensor) -> Tensor:
        return weight.detach().clone(memory_format=torch.contiguous_format)

    copies: list[Weights] = [(copy(a), copy(b), copy(c), copy(d)) for a, b, c, d in directions]
    return PackedWeights(layout, copies, bf16)


# The C library's comparison reads both sides at 40 GB/s here; torch.equal reads at 6 GB/s.
_memcmp = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t)(
    symbol("memcmp")
)


def _same_bytes(weight: Tensor, copy: Tensor) -> bool:
    """Bit for bit, so that a NaN equals itself; both of one type, `copy` contiguous."""
    if not weight.is_contiguous():
        weight = weight.contiguous()
    if weight.shape != copy.shape:
        return False
    return bool(_memcmp(weight.data_ptr(), copy.data_ptr(), copy.nbytes) == 0)
