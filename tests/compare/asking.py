"""What the tests of comparisons share: how they ask, and a clock that stands still."""

from collections.abc import Callable

from speechgru.compare import Means, Question

Asked = Callable[..., Question]
MEANS = Means("cpu", cost=False)


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
