"""How fast weights can be read: the bound on a recurrent layer with few rows.

Every frame reads all recurrent weights once. Here every thread reads memory of its own over and
over and does nothing else but add it up, with as many sums at a time as hide the adder's latency.
It walks to and fro, as our kernels do: what the cache still holds at a turn is used first, so that
a size a little above the cache's is not lost on it. The vector code is explicit: left alone, the
compiler takes half the registers' width and too few sums, and reaches half of what there is.
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
SAMPLES = 7  # of which the fastest counts: the others were disturbed
SECONDS = 0.01  # of one sample
SIZES = tuple(1 << bits for bits in range(15, 25))
"""Bytes a thread: 32 KB, one step up a factor of two, to 16 MB."""


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
    """float32 in a register of the instruction set in use."""
    return 16 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else 8


def add_up(values: "np.ndarray[Any, np.dtype[np.float32]]") -> float:
    """The sum of whole blocks of `values`, once there and once back, for the tests."""
    return float(_reader(lanes())(values.ctypes.data, len(values) // (lanes() * SUMS), 2))


def measure_streaming(sizes: Sequence[int], threads: int) -> dict[int, float]:
    """Bytes a second that all threads read together, each with `size` bytes of its own."""
    read, block = _reader(lanes()), 4 * lanes() * SUMS
    rates: dict[int, float] = {}
    for size in sorted(set(sizes)):
        blocks = max(1, size // block)
        memory = [np.ones(blocks * block // 4 + 16, np.float32) for _ in range(threads)]
        starts = [part.ctypes.data + -part.ctypes.data % 64 for part in memory]
        passes = _passes(partial(read, starts[0], blocks))
        calls = [partial(read, start, blocks, passes) for start in starts]
        rates[size] = max(
            sum(blocks * block * passes / seconds for seconds in _together(calls))
            for _ in range(SAMPLES)
        )
    return rates


def _passes(call: Callable[[int], float]) -> int:
    """How many take SECONDS; always an even number, for one leads back."""
    call(2)
    passes = 2
    while True:
        began = time.perf_counter()
        call(passes)
        took = time.perf_counter() - began
        if took > SECONDS / 2:
            return max(2, round(passes * SECONDS / took / 2) * 2)
        passes *= 2


def _together(calls: Sequence[Callable[[], float]]) -> list[float]:
    """Seconds that each of the calls took, all begun at once on a thread each."""
    seconds = [0.0] * len(calls)
    gate = threading.Barrier(len(calls))

    def one(i: int) -> None:
        gate.wait()
        began = time.perf_counter()
        calls[i]()
        seconds[i] = time.perf_counter() - began

    workers = [threading.Thread(target=one, args=(i,)) for i in range(len(calls))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return seconds
