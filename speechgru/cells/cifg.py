"""The LSTM with coupled input and forget gates."""

import torch
from torch import Tensor
from torch.nn.functional import linear, logsigmoid

from speechgru.cells.base import Cell, State, torch_recurrence


class CIFG(Cell):
    """LSTM whose forget gate is one minus its input gate (CIFG: Greff et al. 2017, "LSTM: a search
    space odyssey", arXiv 1503.04069), without peepholes.

    i  = σ(W_ii x + b_ii + W_hi h + b_hi)      input gate
    f  = 1 − i                                 forget gate
    g  = tanh(W_ig x + b_ig + W_hg h + b_hg)   candidate
    o  = σ(W_io x + b_io + W_ho h + b_ho)      output gate
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')

    Gate order i, g, o. State (h, c). Parameters: 3·H·(I + H + 2).
    f = σ(−a) for the input gate's pre-activation a, so b_ii + b_hi starts around −`forget_bias`
    (see `LSTM`).
    Not to be confused with a GRU, which has as many weights but carries h itself, has no output
    gate, and resets h inside the candidate.
    """

    gates = 3
    states = 2
    forget_gate = (0, -1)
    kernel = "cifg"

    def step(self, gates_x: Tensor, state: State) -> State:
        h, c = state
        gates = gates_x + linear(h, self.weight_hh, self.bias_hh)
        i, g, o = gates.chunk(3, dim=-1)
        i = torch.sigmoid(i)
        c = (1 - i) * c + i * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        gates = gates_x + linear(state[0], self.weight_hh, self.bias_hh)
        return logsigmoid(-gates.chunk(3, -1)[0])  # ln(1 − σ(a)) = ln σ(−a)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        """By torch's LSTM: 1 − σ(a) = σ(−a), so its forget rows are the negated input rows.

        It multiplies 4·H rows where the equations need 3·H.
        """
        weights = []
        for weight in self.weights():
            i, g, o = weight.chunk(3)
            weights.append(torch.cat([i, -i, g, o]))
        y, h, c = torch_recurrence(torch.lstm, x, state, weights)
        return y, (h[0], c[0])
