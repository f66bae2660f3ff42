"""How cells call torch's own recurrent functions."""

import pytest
import torch
from layers import EVEN, batch, make_layer

from speechgru.cells import CELLS, Cell
from speechgru.cells.base import contiguous_block

FUNCTIONS = ("gru", "lstm", "rnn_tanh", "rnn_relu")
FUSED = [name for name, cell in CELLS.items() if cell.fused is not Cell.fused]


@pytest.fixture
def train_flags(monkeypatch):
    """The `train` argument of every call of a torch recurrent function."""
    flags = []

    def spy(function):
        def call(*arguments):
            flags.append(arguments[6])
            return function(*arguments)

        return call

    for name in FUNCTIONS:
        monkeypatch.setattr(torch, name, spy(getattr(torch, name)))
    return flags


@pytest.mark.parametrize("name", FUSED)
def test_torch_is_told_whether_a_backward_pass_may_follow(name, train_flags):
    """cuDNN's backward pass refuses the result of a forward pass called with train=False."""
    layer, (x, lengths) = make_layer(name, False, "fused"), batch(EVEN)
    layer(x, lengths)
    with torch.no_grad():
        layer(x, lengths)
    with torch.inference_mode():
        layer(x, lengths)
    assert train_flags in ([], [True, False, False])  # []: the cell has a library call of our own


def test_the_cells_that_call_torch_are_seen_by_the_test_above(train_flags):
    for name in FUSED:
        make_layer(name, False, "fused")(*batch(EVEN))
    assert len(train_flags) == len({"rnn", "rnn_relu", "gru", "lstm", "cifg"})


def test_weights_become_views_of_one_block_in_order_and_keep_their_gradients():
    # Any device but "cpu" is laid out for cuDNN; "meta" shows the layout without a GPU.
    shapes = [(6, 5), (6, 2), (6,), (6,)]
    views = contiguous_block([torch.empty(shape, device="meta") for shape in shapes])
    assert [view.shape for view in views] == [torch.Size(shape) for shape in shapes]
    assert [view.storage_offset() for view in views] == [0, 30, 42, 48]
    on_cpu = [torch.zeros(2), torch.zeros(3)]
    assert contiguous_block(on_cpu) is on_cpu
