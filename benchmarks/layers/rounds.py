"""Timing in alternating rounds: every contender once per round, so that a slow minute of the
machine affects all of them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.layers.contenders import Contender

PAUSE = 0.03  # seconds before a turn: other libraries' threads spin for a while after a call
LONG = 0.01  # seconds per turn: a shorter call is repeated


@dataclass(frozen=True)
class Timer:
    """The clock and the pauses; tests replace them."""

    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


def time_rounds(
    contenders: Sequence[Contender], rounds: int, timer: Timer
) -> dict[str, list[float]]:
    """Seconds per call, one figure per round, by contender; after a warm-up."""
    states: dict[str, Any] = {}
    repeats = {}
    for one in contenders:
        took = math.inf
        for _ in range(one.warm_up):
            start = timer.clock()
            states[one.name] = one.call(states.get(one.name))[1]
            took = timer.clock() - start
        repeats[one.name] = max(1, math.ceil(LONG / max(took, 1e-6)))
    times: dict[str, list[float]] = {one.name: [] for one in contenders}
    for _ in range(rounds):
        for one in contenders:
            state = states[one.name]
            timer.sleep(PAUSE)
            start = timer.clock()
            for _ in range(repeats[one.name]):
                state = one.call(state)[1]
            times[one.name].append((timer.clock() - start) / repeats[one.name])
            states[one.name] = state
    return times


def outcome(contender: Contender) -> list[Tensor]:
    """The result of a call; where states are carried, of a second call that continues the first."""
    found, state = contender.call(None)
    if state is not None:
        found, _ = contender.call(state)
    return [tensor.clone() for tensor in contender.read(found)]


def difference(found: Sequence[Tensor], expected: Sequence[Tensor], training: bool) -> float:
    """The largest difference between outputs; between gradients, relative to each one's norm."""
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        gap = (a - b).norm() / b.norm() if training else (a - b).abs().max()
        worst = max(worst, float(torch.nan_to_num(gap, nan=math.inf)))
    return worst
