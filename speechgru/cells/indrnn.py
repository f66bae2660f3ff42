"""The independently recurrent network."""

import torch
from torch import Tensor, nn

from speechgru.cells.base import Cell, State


class IndRNN(Cell):
    """Independently recurrent neural network (Li et al. 2018, arXiv 1803.04831): a unit depends on
    its own past only, through one recurrent weight u per unit.

    h' = max(0, W x + b + u ⊙ h)     |u| ≤ 1

    Parameters: H·(I + 2). u starts at U(0, 1). The paper clips u to 2^(1/T) for T frames, so that a
    gradient at most doubles over them; 1 is the limit for any T. Units mix in the next layer.
    Not to be confused with `rnn_relu`, where every unit depends on all units' past.
    """

    gates = 1
    names = ("weight_ih", "bias_ih")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, forget_bias)
        self.weight_hh = nn.Parameter(torch.rand(hidden_size))

    def project(self, x: Tensor, valid: Tensor) -> Tensor:
        # Clipped before each use rather than in the optimiser, which is the same for all cells.
        self.weight_hh.data.clamp_(-1, 1)
        return super().project(x, valid)

    def step(self, gates_x: Tensor, state: State) -> State:
        (h,) = state
        return (torch.relu(torch.addcmul(gates_x, self.weight_hh, h)),)

    @classmethod
    def parameter_count(cls, input_size: int, hidden_size: int) -> int:
        return super().parameter_count(input_size, hidden_size) + hidden_size
