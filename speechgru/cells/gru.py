"""The gated recurrent unit."""

import torch
from torch import Tensor
from torch.nn.functional import linear, logsigmoid

from speechgru.cells.base import Cell, State, torch_recurrence


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), reset *after* the matrix product,
    as in torch.nn.GRU and cuDNN. Not to be confused with the paper's later version (v3), which
    resets h before the product.

    r  = σ(W_ir x + b_ir + W_hr h + b_hr)            reset gate
    z  = σ(W_iz x + b_iz + W_hz h + b_hz)            update gate
    n  = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))   candidate
    h' = (1 − z) ⊙ n + z ⊙ h

    Gate order r, z, n. Parameters: 3·H·(I + H + 2).
    """

    gates = 3
    kernel = "gru"

    def step(self, gates_x: Tensor, state: State) -> State:
        (h,) = state
        x_r, x_z, x_n = gates_x.chunk(3, dim=-1)
        h_r, h_z, h_n = linear(h, self.weight_hh, self.bias_hh).chunk(3, -1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,)

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        h_z = linear(state[0], self.weight_hh, self.bias_hh).chunk(3, -1)[1]
        return logsigmoid(gates_x.chunk(3, -1)[1] + h_z)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        y, h = torch_recurrence(torch.gru, x, state, self.weights())
        return y, (h[0],)
