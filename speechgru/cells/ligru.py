"""The light GRU, with batch normalisation of its input."""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear, logsigmoid

from speechgru.cells.base import Cell, State


class LiGRU(Cell):
    """Light gated recurrent unit (Ravanelli et al. 2018, "Light gated recurrent units for speech
    recognition", arXiv 1803.10225): no reset gate, ReLU instead of tanh, batch normalisation.

    z  = σ(γ_z ⊙ BN(W_iz x) + b_iz + W_hz h)            update gate
    n  = max(0, γ_n ⊙ BN(W_in x) + b_in + W_hn h)       candidate
    h' = (1 − z) ⊙ n + z ⊙ h

    Gate order z, n. Parameters: 2·H·(I + H + 2), besides the running mean and variance (4·H), which
    are not trained. γ starts at 1.

    In training, BN uses each unit's mean and variance over the frames of a batch, padding excluded;
    otherwise the running ones, so that a row never depends on its batch mates or on later frames.
    With gradient accumulation each batch is normalised by itself. Averaging checkpoints averages
    the running statistics too, which approximates those of the averaged weights.
    """

    gates = 2
    names = ("weight_ih", "weight_hh", "bias_ih")
    momentum = 0.1  # the newest batch's share of the running statistics, as torch's default

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, forget_bias)
        self.gain = nn.Parameter(torch.ones(2 * hidden_size))
        self.register_buffer("running_mean", torch.zeros(2 * hidden_size))
        self.register_buffer("running_var", torch.ones(2 * hidden_size))

    def project(self, x: Tensor, valid: Tensor) -> Tensor:
        # (frames that are not padding, 2·H), in the precision of the weights under autocast too: in
        # bfloat16 a z above 0.998 would be rounded to 1 and never forget.
        frames = linear(x[valid], self.weight_ih).to(self.weight_ih.dtype)
        # A single frame has no variance; a NaN would stay in the running statistics for ever.
        batch_statistics = self.training and len(frames) > 1 and bool(frames.isfinite().all())
        frames = batch_norm(
            frames, self.running_mean, self.running_var, self.gain, self.bias_ih,
            training=batch_statistics, momentum=self.momentum,
        )  # fmt: skip
        gates_x = frames.new_zeros(*valid.shape, frames.shape[-1])
        gates_x[valid] = frames
        return gates_x

    def step(self, gates_x: Tensor, state: State) -> State:
        (h,) = state
        z, n = (gates_x + linear(h, self.weight_hh)).chunk(2, dim=-1)
        z, n = torch.sigmoid(z), torch.relu(n)
        return ((1 - z) * n + z * h,)

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        return logsigmoid((gates_x + linear(state[0], self.weight_hh)).chunk(2, -1)[0])

    @classmethod
    def parameter_count(cls, input_size: int, hidden_size: int) -> int:
        return super().parameter_count(input_size, hidden_size) + cls.gates * hidden_size
