"""`Cell.log_retention`: the factor by which a frame's gates multiply the memory."""

import pytest
import torch

from speechgru.cells import CELLS, Cell

GATED = [name for name, cell in CELLS.items() if cell.log_retention is not Cell.log_retention]


def test_exactly_the_cells_with_gates_have_a_retention() -> None:
    """`gates` counts blocks of weights, of which one computes the new value."""
    assert [name for name, cell in CELLS.items() if cell.gates > 1] == GATED
    assert CELLS["rnn"](2, 3).log_retention(torch.zeros(1, 3), (torch.zeros(1, 3),)) is None


@pytest.mark.parametrize("name", GATED)
def test_f_is_what_the_memory_is_multiplied_by(name: str) -> None:
    """The memory's Jacobian is diag(f): c's at any weights, h's without recurrent ones."""
    torch.manual_seed(3)
    cell = CELLS[name](5, 4).double().eval()
    for parameter in cell.parameters():
        parameter.data.normal_()
    if cell.states == 1 and "weight_hh" in dict(cell.named_parameters()):
        cell.weight_hh.data.zero_()
    gates_x = cell.project(torch.randn(1, 1, 5).double(), torch.ones(1, 1, dtype=torch.bool))[:, 0]
    before = tuple(torch.rand(1, 4).double() for _ in range(cell.states))

    def memory(last: torch.Tensor) -> torch.Tensor:
        return cell.step(gates_x, (*before[:-1], last[None]))[-1][0]

    jacobian = torch.autograd.functional.jacobian(memory, before[-1][0])
    found = cell.log_retention(gates_x, before).exp()[0]
    torch.testing.assert_close(jacobian, torch.diag(found))


@pytest.mark.parametrize("name", ["gru", "lstm", "cifg", "gru_ln", "lstm_ln", "ligru"])
def test_recurrent_weights_move_the_gate(name: str) -> None:
    """f depends on the state."""
    torch.manual_seed(4)
    cell = CELLS[name](5, 4).double().eval()
    gates_x = cell.project(torch.randn(1, 1, 5).double(), torch.ones(1, 1, dtype=torch.bool))[:, 0]
    zeros = cell.initial_state(1)
    other = tuple(torch.rand(1, 4).double() for _ in range(cell.states))
    assert not torch.allclose(
        cell.log_retention(gates_x, zeros), cell.log_retention(gates_x, other)
    )


@pytest.mark.parametrize(
    ("name", "candidate"),  # its rows: n in r, z, n; g in i, f, g, o; n in z, n
    [("gru", slice(8, 12)), ("gru_ln", slice(8, 12)), ("lstm", slice(8, 12)),
     ("ligru", slice(4, 8))],
)  # fmt: skip
def test_the_gate_is_the_one_the_step_uses(name: str, candidate: slice) -> None:
    """A candidate of zero leaves m' = f ⊙ m, recurrent weights or not."""
    torch.manual_seed(5)
    cell = CELLS[name](3, 4).double().eval()
    for parameter in cell.parameters():
        parameter.data.normal_()
        parameter.data[candidate] = 0
    gates_x = cell.project(torch.randn(2, 1, 3).double(), torch.ones(2, 1, dtype=torch.bool))[:, 0]
    state = tuple(torch.rand(2, 4).double() for _ in range(cell.states))
    kept = cell.step(gates_x, state)[-1] / state[-1]
    torch.testing.assert_close(cell.log_retention(gates_x, state).exp(), kept)
