"""How fast weights can be read: the limit of a recurrent layer with few rows.

Every frame reads all recurrent weights once. Here every thread repeatedly reads memory of its own
and only adds it up, in enough sums to hide the adder's latency. It reads forwards and backwards in
turn, as our kernels do, so that memory still in the cache is read first. The vector code is
explicit: numba alone uses half the vector length and too few sums, and reaches half the rate.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

SUMS = 12  # 16 registers with AVX2
SAMPLES = 7  # of which the fastest counts
SECONDS = 0.01  # per sample
SIZES = tuple(1 << bits for bits in range(15, 25))
"""Bytes per thread: powers of two from 32 KB to 16 MB."""


@intrinsic
def _read_blocks(typingctx: Any, lanes: Any, address: Any, blocks: Any, step: Any) -> Any:
    """The sum of `blocks` blocks of SUMS vectors of float32, `step` bytes from one to the next."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    vector = ir.VectorType(ir.FloatType(), lanes.literal_value)
    i64 = ir.IntType(64)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        _, address, blocks, step = args
        zero = ir.Constant(vector, [0.0] * vector.count)
        totals = [cgutils.alloca_once_value(b, zero) for _ in range(SUMS)]
        at = cgutils.alloca_once_value(b, address)
        with cgutils.for_range(b, blocks):
            start = b.load(at)
            for i, total in enumerate(totals):
                place = b.add(start, i64(4 * vector.count * i))
                value = b.load(b.inttoptr(place, vector.as_pointer()), align=4)
                b.store(b.fadd(b.load(total), value), total)
            b.store(b.add(start, step), at)
        total = zero
        for one in totals:
            total = b.fadd(total, b.load(one))
        result = ir.Constant(ir.FloatType(), 0.0)
        for lane in range(vector.count):
            result = b.fadd(result, b.extract_element(total, ir.IntType(32)(lane)))
        return result

    return types.float32(lanes, types.int64, types.int64, types.int64), codegen


def _reader(lanes: int) -> Any:
    block = 4 * lanes * SUMS

    @njit(nogil=True)
    def read(address: int, blocks: int, passes: int) -> float:
        total = 0.0
        for i in range(passes):
            if i % 2 == 0:
                total += _read_blocks(lanes, address, blocks, block)
            else:
                total += _read_blocks(lanes, address + (blocks - 1) * block, blocks, -block)
        return total

    return read


def lanes() -> int:
    """float32 values per register of the instruction set in use."""
    return 16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else 8


def add_up(values: "np.ndarray[Any, np.dtype[np.float32]]") -> float:
    """The sum of whole blocks of `values`, read forwards and backwards, for the tests."""
    return float(_reader(lanes())(values.ctypes.data, len(values) // (lanes() * SUMS), 2))


def measure_streaming(sizes: Sequence[int], threads: int) -> dict[int, float]:
    """Bytes per second read by all threads together, each with `size` bytes of its own."""
    read, block = _reader(lanes()), 4 * lanes() * SUMS
    rates: dict[int, float] = {}
    for size in sorted(set(sizes)):
        blocks = max(1, size // block)
        memory = [np.ones(blocks * block // 4 + 16, np.float32) for _ in range(threads)]
        starts = [part.ctypes.data + -part.ctypes.data % 64 for part in memory]
        passes = run_passes(partial(read, starts[0], blocks))
        calls = [partial(read, start, blocks, passes) for start in starts]
        rates[size] = max(
            sum(blocks * block * passes / seconds for seconds in together(calls))
            for _ in range(SAMPLES)
        )
    return rates


def run_passes(call: Callable[[int], float]) -> int:
    """Number of passes that take SECONDS; even, so that half of them go backwards."""
    call(2)
    passes = 2
    while True:
        start = time.perf_counter()
        call(passes)
        took = time.perf_counter() - start
        if took > SECONDS / 2:
            return max(2, round(passes * SECONDS / took / 2) * 2)
        passes *= 2


def together(calls: Sequence[Callable[[], float]]) -> list[float]:
    """Seconds of each call, all started at once on a thread each."""
    seconds = [0.0] * len(calls)
    gate = threading.Barrier(len(calls))

    def one(i: int) -> None:
        gate.wait()
        start = time.perf_counter()
        calls[i]()
        seconds[i] = time.perf_counter() - start

    workers = [threading.Thread(target=one, args=(i,)) for i in range(len(calls))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return seconds
