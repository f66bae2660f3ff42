"""A stand-in for the time module."""


class Clock:
    """Time passes only where it is spent."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.cpu

    def spend(self, seconds: float, share: float = 1.0) -> None:
        """`share` of them running."""
        self.wall += seconds
        self.cpu += share * seconds
