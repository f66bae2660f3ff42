"""GRU and LSTM with layer normalisation inside the recurrence (Ba et al. 2016, arXiv 1607.06450,
supplementary equations).

LN(a) = (a − mean) / √(variance + 1e-5) over the units of one frame, independently of other frames
and rows. Gains γ start at 1. The shifts β of the paper are b_ih and b_hh here, added after
normalisation (which would nearly cancel a bias added before).

Not to be confused with normalising a layer's input (`model.layer_norm` of a recipe).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, logsigmoid

from speechgru.cells.base import Cell, State


class LayerNormGRU(Cell):
    """GRU, reset after the product like `GRU`, with normalised pre-activations.

    (a_r, a_z) = γ_x ⊙ LN(W_ix x) + b_ix + γ_h ⊙ LN(W_hx h) + b_hx   LN over both, 2·H together
    r, z = σ(a_r), σ(a_z)
    n  = tanh(γ_in ⊙ LN(W_in x) + b_in + r ⊙ (γ_hn ⊙ LN(W_hn h) + b_hn))
    h' = (1 − z) ⊙ n + z ⊙ h

    Gate order r, z, n. Parameters: 3·H·(I + H + 4).
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, forget_bias)
        self.gain_ih = nn.Parameter(torch.ones(3 * hidden_size))
        self.gain_hh = nn.Parameter(torch.ones(3 * hidden_size))

    def project(self, x: Tensor, valid: Tensor) -> Tensor:
        gates_x = linear(x, self.weight_ih)
        return torch.cat(self._normalise(gates_x, self.gain_ih, self.bias_ih), dim=-1)

    def step(self, gates_x: Tensor, state: State) -> State:
        (h,) = state
        x_rz, x_n = self._parts(gates_x)
        h_rz, h_n = self._normalise(linear(h, self.weight_hh), self.gain_hh, self.bias_hh)
        r, z = torch.sigmoid(x_rz + h_rz).chunk(2, dim=-1)
        n = torch.tanh(x_n + r * h_n)
        return ((1 - z) * n + z * h,)

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        h_rz, _ = self._normalise(linear(state[0], self.weight_hh), self.gain_hh, self.bias_hh)
        return logsigmoid((self._parts(gates_x)[0] + h_rz).chunk(2, -1)[1])

    def _normalise(self, gates: Tensor, gain: Tensor, shift: Tensor) -> list[Tensor]:
        """r and z together, the candidate separately."""
        parts = zip(self._parts(gates), self._parts(gain), self._parts(shift), strict=True)
        return [layer_norm(a, a.shape[-1:], g, b) for a, g, b in parts]

    def _parts(self, gates: Tensor) -> Sequence[Tensor]:
        return torch.tensor_split(gates, [2 * self.hidden_size], -1)

    @classmethod
    def parameter_count(cls, input_size: int, hidden_size: int) -> int:
        return super().parameter_count(input_size, hidden_size) + 2 * cls.gates * hidden_size


class LayerNormLSTM(Cell):
    """`LSTM` with normalised pre-activations and a normalised c in the output.

    (a_i, a_f, a_g, a_o) = γ_x ⊙ LN(W_ih x) + b_ih + γ_h ⊙ LN(W_hh h) + b_hh   LN over all 4·H
    i, f, g, o = σ(a_i), σ(a_f), tanh(a_g), σ(a_o)
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(γ_c ⊙ LN(c') + b_c)

    Gate order i, f, g, o. State (h, c). Parameters: 4·H·(I + H + 4) + 2·H.
    The forget gate's part of b_ih + b_hh starts around `forget_bias` (see `LSTM`).
    """

    gates = 4
    states = 2
    forget_gate = (1, 1)

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, forget_bias)
        self.gain_ih = nn.Parameter(torch.ones(4 * hidden_size))
        self.gain_hh = nn.Parameter(torch.ones(4 * hidden_size))
        self.gain_c = nn.Parameter(torch.ones(hidden_size))
        self.bias_c = nn.Parameter(torch.zeros(hidden_size))

    def project(self, x: Tensor, valid: Tensor) -> Tensor:
        gates_x = linear(x, self.weight_ih)
        return layer_norm(gates_x, gates_x.shape[-1:], self.gain_ih, self.bias_ih)

    def step(self, gates_x: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = self._gates(gates_x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        out = layer_norm(c, c.shape[-1:], self.gain_c, self.bias_c)
        return torch.sigmoid(o) * torch.tanh(out), c

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        return logsigmoid(self._gates(gates_x, state[0])[1])

    def _gates(self, gates_x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        gates_h = linear(h, self.weight_hh)
        normalised = layer_norm(gates_h, gates_h.shape[-1:], self.gain_hh, self.bias_hh)
        return (gates_x + normalised).chunk(4, dim=-1)

    @classmethod
    def parameter_count(cls, input_size: int, hidden_size: int) -> int:
        gains = 2 * cls.gates * hidden_size + 2 * hidden_size
        return super().parameter_count(input_size, hidden_size) + gains
