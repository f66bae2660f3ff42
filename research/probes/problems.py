"""Synthetic problems that need a memory of a known length, and the error of guessing.

Each draw is (inputs (batch, frames, values), targets).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

LETTERS, RECALLED = 8, 10  # of the copy problem
BLANK, RECALL = LETTERS, LETTERS + 1


@dataclass(frozen=True, slots=True)
class Problem:
    """`loss` and `error` take the outputs (batch, frames, outputs) and the targets."""

    inputs: int
    outputs: int
    metric: str  # name of the error
    chance: float  # error of the best answer without memory
    solved: float  # a run has solved the problem when its held-out error is below this
    shortest: int  # frames
    draw: Callable[[int, int, np.random.Generator], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], float]


def draw_adding(batch: int, frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Numbers from U(0, 1), and marks that are 0 except at two frames, one in each half. The
    target (batch,) is the sum of the two marked numbers (Hochreiter & Schmidhuber 1997, "Long
    short-term memory", experiment 4; fixed lengths and halves as in Arjovsky, Shah & Bengio 2016,
    arXiv 1511.06464, §4.2)."""
    x = np.zeros((batch, frames, 2), np.float32)
    x[..., 0] = rng.random((batch, frames))
    rows, half = np.arange(batch), frames // 2
    first, second = rng.integers(0, half, batch), rng.integers(half, frames, batch)
    x[rows, first, 1] = x[rows, second, 1] = 1
    targets = x[rows, first, 0] + x[rows, second, 0]
    return torch.from_numpy(x), torch.from_numpy(targets)


def draw_copy(batch: int, frames: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Ten letters out of eight, then blanks, and a mark ten frames before the end; from the mark
    on the letters are to be repeated. One-hot inputs; targets (batch, frames) int64 are blank
    before the mark (Arjovsky et al. 2016, §4.1, whose T is frames − 20 and whose mark comes one
    frame earlier)."""
    letters = rng.integers(0, LETTERS, (batch, RECALLED))
    symbols = np.full((batch, frames), BLANK)
    targets = symbols.copy()
    symbols[:, :RECALLED] = targets[:, -RECALLED:] = letters
    symbols[:, -RECALLED] = RECALL
    inputs = np.eye(LETTERS + 2, dtype=np.float32)[symbols]
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def _adding_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return mse_loss(outputs[:, -1, 0], targets)


def _copy_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over all frames; without memory of the letters it is at least 10 · ln 8 / frames."""
    return cross_entropy(outputs.flatten(0, 1), targets.flatten())


def _copy_error(outputs: Tensor, targets: Tensor) -> float:
    wrong = outputs[:, -RECALLED:].argmax(-1) != targets[:, -RECALLED:]
    return float(wrong.double().mean())


PROBLEMS = {
    # The sum of two numbers from U(0, 1) has variance 2/12: the error of always answering 1.
    "adding": Problem(
        2, 1, "mean squared error", 1 / 6, 0.01, 2, draw_adding, _adding_loss,
        lambda outputs, targets: float(_adding_loss(outputs, targets)),
    ),
    "copy": Problem(
        LETTERS + 2, LETTERS + 1, "share of letters wrong", 1 - 1 / LETTERS, 0.01,
        2 * RECALLED, draw_copy, _copy_loss, _copy_error,
    ),
}  # fmt: skip
