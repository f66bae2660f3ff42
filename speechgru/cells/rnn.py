"""Plain recurrent networks."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from speechgru.cells.base import Cell, State, torch_recurrence


class RNN(Cell):
    """Elman network (Elman 1990, "Finding structure in time") with tanh, as in torch.nn.RNN.

    h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    Parameters: H·(I + H + 2).
    """

    gates = 1
    kernel = "rnn"

    def step(self, gates_x: Tensor, state: State) -> State:
        (h,) = state
        return (torch.tanh(gates_x + linear(h, self.weight_hh, self.bias_hh)),)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        y, h = torch_recurrence(torch.rnn_tanh, x, state, self.weights())
        return y, (h[0],)


class ReLURNN(Cell):
    """The same with max(0, ·) instead of tanh (Le, Jaitly & Hinton 2015, arXiv 1504.00941), without
    that paper's identity initialisation.

    h' = max(0, W_ih x + b_ih + W_hh h + b_hh)

    Parameters: H·(I + H + 2).
    """

    gates = 1
    kernel = "rnn_relu"

    def step(self, gates_x: Tensor, state: State) -> State:
        (h,) = state
        return (torch.relu(gates_x + linear(h, self.weight_hh, self.bias_hh)),)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        y, h = torch_recurrence(torch.rnn_relu, x, state, self.weights())
        return y, (h[0],)
