"""The long short-term memory."""

import torch
from torch import Tensor
from torch.nn.functional import linear, logsigmoid

from speechgru.cells.base import Cell, State, torch_recurrence


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate (Gers et al. 2000)
    and without peepholes, as in torch.nn.LSTM.

    i  = σ(W_ii x + b_ii + W_hi h + b_hi)      input gate
    f  = σ(W_if x + b_if + W_hf h + b_hf)      forget gate
    g  = tanh(W_ig x + b_ig + W_hg h + b_hg)   candidate
    o  = σ(W_io x + b_io + W_ho h + b_ho)      output gate
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')

    Gate order i, f, g, o. State (h, c). Parameters: 4·H·(I + H + 2).
    b_if + b_hf starts around `forget_bias`, 1 by default, so that c is kept before anything is
    learnt (Gers et al. 2000, "Learning to forget"; Jozefowicz et al. 2015, "An empirical
    exploration of recurrent network architectures"). torch.nn.LSTM starts around 0.
    """

    gates = 4
    states = 2
    forget_gate = (1, 1)
    kernel = "lstm"

    def step(self, gates_x: Tensor, state: State) -> State:
        h, c = state
        gates = gates_x + linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        gates = gates_x + linear(state[0], self.weight_hh, self.bias_hh)
        return logsigmoid(gates.chunk(4, -1)[1])

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        y, h, c = torch_recurrence(torch.lstm, x, state, self.weights())
        return y, (h[0], c[0])
