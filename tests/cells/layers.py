"""A layer of any cell in float64, and rows of all lengths for it."""

import pytest
import torch
from torch import Tensor

from speechgru import kernels
from speechgru.cells import CELLS, Cell, RecurrentLayer, State

INPUT, HIDDEN = 5, 7
RAGGED, EVEN = [8, 1, 4, 0, 8, 3], [6, 6, 6]
WAYS = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
# Of each cell only the roads it has, the one that `auto` takes last: asked for another, a layer
# unrolls, and a test would hold a backend against itself.
ROADS = [
    (name, backend)
    for name, cell in CELLS.items()
    for backend, exists in [
        ("unroll", True),
        ("fused", cell.fused is not Cell.fused),
        ("cpu", kernels.unavailable() is None and cell.kernel in kernels.KINDS),
    ]
    if exists
]


def make_layer(
    name: str, bidirectional: bool, backend: str = "unroll", width: int = HIDDEN
) -> RecurrentLayer:
    """Its every weight and statistic differs from its first value."""
    torch.manual_seed(3)
    layer = RecurrentLayer(CELLS[name], INPUT, width, bidirectional).double()
    layer.backend = backend  # type: ignore[assignment]
    with torch.no_grad():
        for tensor in layer.parameters():
            tensor.add_(0.4 * torch.randn_like(tensor))
        for buffer_name, buffer in layer.named_buffers():
            buffer.add_(torch.rand_like(buffer) if "var" in buffer_name else 0.3)
    return layer.eval()


def batch(lengths: list[int], garbage: float = 1e3) -> tuple[Tensor, Tensor]:
    """Random rows (batch, frames, INPUT), with `garbage` where they are padded."""
    torch.manual_seed(4)
    x = torch.randn(len(lengths), max(lengths), INPUT, dtype=torch.float64)
    for row, length in enumerate(lengths):
        x[row, length:] = garbage
    return x, torch.tensor(lengths)


def some_state(layer: RecurrentLayer, rows: int) -> State:
    torch.manual_seed(5)
    return tuple(torch.randn_like(part) for part in layer.initial_state(rows))
