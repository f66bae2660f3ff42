"""Running a kernel on the threads that torch already has.

A second pool of threads would compete with torch's, whose workers spin for a while after a parallel
region. So kernels run on the OpenMP runtime that torch has loaded, through its C entry point.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from speechgru.cpus import usable_cpus


def symbol(name: str) -> int:
    """The address of a C function in this process, or 0."""
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    except (AttributeError, OSError, TypeError):  # Windows has no symbols of the process itself
        return 0


YIELD = symbol("sched_yield")
THREAD_COUNT = symbol("omp_get_num_threads")
THREAD_INDEX = symbol("omp_get_thread_num")


class CompiledFunction(NamedTuple):
    """Compiled code, void(address of its arguments), valid as long as `owner` exists."""

    call: Callable[[int], None]
    address: int
    owner: Any


_parallel_address = symbol("GOMP_parallel") if THREAD_COUNT and THREAD_INDEX else 0
_parallel = (
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint, ctypes.c_uint)(
        _parallel_address
    )
    if _parallel_address
    else None
)


def _after_fork_in_child(function: Callable[[], None]) -> None:
    if hasattr(os, "register_at_fork"):  # not on Windows, where no process forks
        os.register_at_fork(after_in_child=function)


class ForkLock:
    """A lock that is free in a forked child, where the thread that held it does not exist."""

    def __init__(self) -> None:
        self._renew()
        _after_fork_in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


# One kernel at a time uses the pool; another thread's kernel meanwhile runs on that thread alone.
_pool = ForkLock()
_used = False  # whether torch's operations of a model, or kernels, have used the pool
_pool_lost = False


def _forget_the_pool() -> None:
    # The child inherits the pool's state but none of its threads: torch's own operations would wait
    # for them for ever too.
    global _pool_lost
    if _used:
        _pool_lost = True
        torch.set_num_threads(1)


_after_fork_in_child(_forget_the_pool)


def mark_pool_used() -> None:
    """Note that torch's thread pool is in use, so that processes forked from now on do without."""
    global _used
    _used = True


def limit() -> int:
    """How many threads a kernel may use."""
    threads = torch.get_num_threads()
    if _parallel is None or _pool_lost or threads == 1:
        return 1
    return min(threads, usable_cpus())


def run(function: CompiledFunction, arguments: int, wanted: int) -> None:
    """Call a kernel on up to `wanted` threads; it asks OpenMP how many it got."""
    mark_pool_used()
    if wanted > 1 and _parallel is not None and not _pool_lost and _pool.acquire(blocking=False):
        try:
            _parallel(function.address, arguments, wanted, 0)
        finally:
            _pool.release()
    else:
        function.call(arguments)
