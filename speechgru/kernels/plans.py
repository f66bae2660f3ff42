"""How a recurrence is spread over threads: chosen by measuring real calls.

Three ways compete.  One direction (or group of rows) a thread needs no agreement between threads;
all threads on the same rows, each with its share of the units, need a barrier in every frame, but
each streams only its share of the weights, which may then fit its own cache.  Which is faster
depends on sizes, caches and on what else the machine is doing, so a few calls try each and later
ones use the fastest.  The numbers that come out are the same, to the bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter

from speechgru.kernels.layout import Layout
from speechgru.kernels.threads import ForkLock

TRIES = 2
"""Calls that measure each plan before one is preferred."""
AGAIN = 50
"""Every so many calls the second best is tried again: the machine may be less busy now."""
HOPELESS, SELDOM = 2.0, 1000
"""One that took so many times as long waits for so many calls: barriers on a busy machine can
take seconds."""


@dataclass(frozen=True)
class Plan:
    """Threads in all, groups of rows for each direction, threads that share a group."""

    threads: int
    groups: int
    parts: int


@cache
def second_level_cache() -> int:
    """Bytes of one core's, 1 MB if the system does not say."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return int(text.removesuffix("K")) << 10
    except (OSError, ValueError):
        return 1 << 20


@cache
def candidates(limit: int, directions: int, batch: int, layout: Layout) -> tuple[Plan, ...]:
    """The plans worth trying on up to `limit` threads; the likeliest first."""
    free = max(1, limit // directions)
    groups = max(1, min(free, batch // 8))
    parts = max(1, min(free // groups, layout.blocks))
    plans = [Plan(limit, groups, parts)]
    if batch < 8 and layout.weight_bytes > second_level_cache() * 3 // 4:
        plans.append(Plan(limit, 1, min(limit, layout.blocks)))
    if parts > 1:  # in case the machine is too busy for barriers
        plans.append(Plan(limit, groups, 1))
    return tuple(dict.fromkeys(plans))


class Choice:
    """The plans for one kind of call and how long each took a frame."""

    def __init__(self, plans: tuple[Plan, ...]) -> None:
        self.plans = plans
        self._seconds = [0.0] * len(plans)
        self._tries = [0] * len(plans)
        self._since = 0  # calls since the second best was tried

    def next(self) -> int:
        """The plan for the next call."""
        for i, tries in enumerate(self._tries):
            if tries < TRIES:
                return i
        self._since += 1
        best, second = sorted(range(len(self.plans)), key=self._seconds.__getitem__)[:2]
        close = self._seconds[second] < HOPELESS * self._seconds[best]
        if self._since < (AGAIN if close else SELDOM):
            return best
        self._since = 0
        return second

    def record(self, plan: int, seconds: float) -> None:
        # A slow call weighs less than a fast one: it may have been interrupted.
        old, tries = self._seconds[plan], self._tries[plan]
        # Before a plan is settled the faster counts: a first call may have compiled.
        settled = 0.5 if seconds < old else 0.2
        weight = settled if tries >= TRIES else float(tries == 0 or seconds < old)
        self._seconds[plan] = old + weight * (seconds - old)
        self._tries[plan] = tries + 1


_choices: dict[tuple[object, ...], Choice] = {}
_lock = ForkLock()


@contextmanager
def chosen(plans: tuple[Plan, ...], frames: int, *kind: object) -> Iterator[Plan]:
    """The plan for a call over `frames` that takes place in the `with` block.

    Calls of one kind, and about as long, learn from each other.
    """
    if len(plans) == 1 or frames == 0:
        yield plans[0]
        return
    with _lock:
        choice = _choices.setdefault((plans, frames.bit_length(), kind), Choice(plans))
        number = choice.next()
    started = perf_counter()
    yield plans[number]
    with _lock:
        choice.record(number, (perf_counter() - started) / frames)
