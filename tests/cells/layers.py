"""A layer of any cell in float64, and rows of all lengths for it."""

import pytest
import torch
from torch import Tensor

from speechgru import kernels
from speechgru.cells import CELLS, Cell, RecurrentLayer, State

INPUT, HIDDEN = 5, 7
RAGGED, EVEN = [8, 1, 4, 0, 8, 3], [6, 6, 6]
DIRECTIONS = pytest.mark.parametrize(
    "bidirectional", [False, True], ids=["unidirectional", "bidirectional"]
)
# The backends that each cell has, the one that `auto` chooses last: with any other, a layer falls
# back to `unroll`, and a test would compare a backend with itself.
BACKENDS = [
    (name, backend)
    for name, cell in CELLS.items()
    for backend, exists in [
        ("unroll", True),
        ("fused", cell.fused is not Cell.fused),
        ("cpu", kernels.unsupported_reason() is None and cell.kernel is not None),
    ]
    if exists
]


def make_layer(
    name: str, bidirectional: bool, backend: str = "unroll", hidden_size: int = HIDDEN
) -> RecurrentLayer:
    """A layer all of whose weights and statistics differ from their first values."""
    torch.manual_seed(3)
    layer = RecurrentLayer(CELLS[name], INPUT, hidden_size, bidirectional).double()
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
