"""minGRU and minLSTM (Feng et al. 2024, "Were RNNs all we needed?", arXiv 2410.01201).

Gates and candidate depend on the input only, so that the recurrence is linear in h,

    h[t] = a[t] ⊙ h[t−1] + b[t],

and a scan computes all frames of an utterance at once; `step` is for streams. The paper scans in
logarithms (Heinsen 2023), whose error is the rounding of a sum of T logarithms. Our `scan`
multiplies values of a, all between 0 and 1, which needs no logarithms and is exact to rounding.
The candidate's g(a) is the paper's, positive everywhere because of its logarithms:

    g(a) = a + 0.5 if a ≥ 0 else σ(a)

Under autocast the product is in half precision and everything after it in the precision of the
weights: in bfloat16 an a above 0.998 would be rounded to 1 and never forget.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from speechgru.cells.base import Cell, State


class MinGRU(Cell):
    """z  = σ(W_z x + b_z)           update gate
    n  = g(W_n x + b_n)           candidate
    h' = (1 − z) ⊙ h + z ⊙ n      z weights the candidate; in `GRU` it weights the old state

    Gate order z, n. Parameters: 2·H·(I + 1). Not to be confused with the minimal gated unit (Zhou
    et al. 2016), which has recurrent weights.
    """

    gates = 2
    names = ("weight_ih", "bias_ih")

    def step(self, gates_x: Tensor, state: State) -> State:
        keep, add = self._keep_and_add(gates_x)
        return (keep * state[0] + add,)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        gates_x = torch.nn.functional.linear(x, self.weight_ih, self.bias_ih)
        return _run(*self._keep_and_add(gates_x), state)

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        return logsigmoid(-gates_x.chunk(2, -1)[0])

    def _keep_and_add(self, gates_x: Tensor) -> tuple[Tensor, Tensor]:
        z, n = gates_x.to(self.weight_ih.dtype).chunk(2, dim=-1)
        return torch.sigmoid(-z), torch.sigmoid(z) * positive(n)  # 1 − σ(z) = σ(−z)


class MinLSTM(Cell):
    """f  = σ(W_f x + b_f)                              forget gate
    i  = σ(W_i x + b_i)                              input gate
    n  = g(W_n x + b_n)                              candidate
    h' = f / (f + i) ⊙ h + i / (f + i) ⊙ n

    Gate order f, i, n. Parameters: 3·H·(I + 1). No output gate and no c beside h.
    b_f starts around `forget_bias` (see `LSTM`), which raises f / (f + i) from about 0.5 to 0.6.
    """

    gates = 3
    forget_gate = (0, 1)
    names = ("weight_ih", "bias_ih")

    def step(self, gates_x: Tensor, state: State) -> State:
        keep, add = self._keep_and_add(gates_x)
        return (keep * state[0] + add,)

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        gates_x = torch.nn.functional.linear(x, self.weight_ih, self.bias_ih)
        return _run(*self._keep_and_add(gates_x), state)

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor:
        f, i, _ = gates_x.chunk(3, -1)
        return logsigmoid(softplus(-i) - softplus(-f))  # f / (f + i) = σ(ln f − ln i)

    def _keep_and_add(self, gates_x: Tensor) -> tuple[Tensor, Tensor]:
        f, i, n = gates_x.to(self.weight_ih.dtype).chunk(3, dim=-1)
        odds = softplus(-f) - softplus(-i)  # ln(i / f), finite where both gates are 0
        return torch.sigmoid(-odds), torch.sigmoid(odds) * positive(n)


def positive(a: Tensor) -> Tensor:
    """The paper's g."""
    return torch.where(a >= 0, a + 0.5, torch.sigmoid(a))


def _run(keep: Tensor, add: Tensor, state: State) -> tuple[Tensor, State]:
    first = torch.addcmul(add[:, :1], keep[:, :1], state[0][:, None])
    y: Tensor = Scan.apply(keep, torch.cat([first, add[:, 1:]], dim=1))  # type: ignore[no-untyped-call]
    return y, (y[:, -1],)


class Scan(torch.autograd.Function):
    """h[t] = a[t] ⊙ h[t−1] + b[t] from h[−1] = 0, for a and b (batch, frames, H).

    Its gradient is the same scan from the last frame to the first.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        h = scan(a.transpose(0, 1), b.transpose(0, 1)).transpose(0, 1)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        # grad_b[t] = grad_h[t] + a[t+1] ⊙ grad_b[t+1]
        following = torch.nn.functional.pad(a[:, 1:], (0, 0, 0, 1)).flip(1)
        grad_b: Tensor = Scan.apply(following, grad_h.flip(1)).flip(1)  # type: ignore[no-untyped-call]
        before = torch.nn.functional.pad(h[:, :-1], (0, 0, 1, 0))
        return grad_b * before, grad_b


def scan(a: Tensor, b: Tensor) -> Tensor:
    """h[t] = a[t] ⊙ h[t−1] + b[t] over the first axis, in 2·log₂ T rounds (odd-even reduction:
    Blelloch 1990, "Prefix sums and their applications").

    Two frames together are h[t+1] = (a[t+1]·a[t]) ⊙ h[t−1] + (a[t+1]·b[t] + b[t+1]): solve that for
    the odd frames, half as many; each even one follows from the odd one before it.
    """
    frames = len(b)
    if frames < 2:
        return b.clone()
    pairs = frames - frames % 2
    odd = scan(a[1::2] * a[:pairs:2], torch.addcmul(b[1::2], a[1::2], b[:pairs:2]))
    h = torch.empty_like(b)
    h[1::2] = odd
    h[0] = b[0]
    h[2::2] = torch.addcmul(b[2::2], a[2::2], odd[: (frames - 1) // 2])
    return h
