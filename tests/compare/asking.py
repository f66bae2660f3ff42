"""What the tests of comparisons share: how they ask, trainings that never were, and a clock that
stands still."""

from collections.abc import Callable
from typing import Any

from speechgru.compare import Means, Question
from speechgru.compare.trainability import trainability

Values = dict[str, Any]
Asked = Callable[..., Question]
MEANS = Means("cpu", cost=False)


def run(seed: int, *dev_wer: float, failed: bool = False, fold: str = "") -> Values:
    """A training that had these dev WER after 100, 200, … updates."""
    curve = [
        {"epoch": k, "step": 100 * k, "dev_wer": wer, "dev_cer": 0.8 * wer}
        for k, wer in enumerate(dev_wer, 1)
    ]
    values = {"seed": seed, "fold": fold, "curve": curve, "train_hours": 1.0}
    return values | ({"failed": {"kind": "diverged", "reason": "NaN"}} if failed else {})


def trained(**runs: list[Values]) -> Values:
    whole = {name: [r for r in each if "failed" not in r] for name, each in runs.items()}
    failed = {name: [r for r in each if "failed" in r] for name, each in runs.items()}
    return trainability(whole, failed)


EARLY = [run(seed, 0.5, 0.1, 0.1, 0.1) for seed in range(8)]
LATE = [run(seed, 0.9, 0.5, 0.4, 0.1) for seed in range(8)]


class Clock:
    """A stand-in for the time module: a second passes only where somebody spends it."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.processor

    def spend(self, seconds: float, share: float = 1.0) -> None:
        """`share` of them on a processor."""
        self.wall += seconds
        self.processor += share * seconds
