"""How a recurrence is spread over threads.

Each direction, and each group of rows, gets threads of its own, which need not wait for each
other. Where threads would be idle, or the weights are large, several threads share the same rows:
each computes some of the units and reads only their weights, which may then fit its own cache, but
they meet at a barrier in every frame. The numbers that come out are the same, to the bit.

The rule is fixed by measurements on two processors (docs/log.md).
"""

from dataclasses import dataclass
from functools import cache

from speechgru.kernels.layout import Layout

WORTH_SHARING = 96 << 10
"""Bytes of a direction's recurrent weights from which idle threads help more than they wait."""
SHARED_BY_ALL = 2 << 20
"""Bytes from which one direction after the other, on all threads, is faster than side by side."""
GROUP = 8
"""Rows from which a group gets a thread of its own."""


@dataclass(frozen=True)
class ThreadPlan:
    """Threads in all, groups of rows per direction, threads that share a group."""

    threads: int
    groups: int
    parts: int


@cache
def thread_plan(limit: int, directions: int, batch: int, layout: Layout) -> ThreadPlan:
    """The plan for up to `limit` threads."""
    per_direction = max(1, limit // directions)
    groups = max(1, min(per_direction, batch // GROUP))
    parts = 1
    if layout.weight_bytes >= SHARED_BY_ALL and batch < GROUP:
        parts = limit
    elif layout.weight_bytes >= WORTH_SHARING:
        parts = per_direction // groups
    return ThreadPlan(limit, groups, max(1, min(parts, layout.blocks)))
