"""The least time of a case (its floor) that this machine's arithmetic and memory allow.

Input products are one large matrix product, limited by the best rate of such products measured
here. Recurrent products depend on each other frame by frame. With many rows they are limited by the
same rate; with few, by reading the weights, at the rate measured for their size. All threads can
share the weights of a direction, so that size is a thread's share. Gates, states and barriers are
not counted, so a floor is not reached.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.layers.case import Case
from benchmarks.layers.streaming import SIZES, measure_streaming

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Of one weight, by the names of `kernels.PRECISIONS`."""
ROWS = 1000  # of the large products
SAMPLES = 5
SLOW = 0.25  # seconds: a product that takes longer is measured once

ProductShape = tuple[int, int, int]
"""(rows, k, columns) of a matrix product."""


@dataclass(frozen=True)
class Rates:
    """Measured on `threads` threads together."""

    threads: int
    alone: float  # float32 operations per second of one thread in the best shape
    gemm: dict[str, dict[ProductShape, float]]  # operations per second, by type
    streaming: dict[int, float]  # bytes per second, by bytes per thread

    def compute(self, *names: str) -> float:
        """Operations per second: the best of all shapes and these types."""
        return max(rate for name in names for rate in self.gemm[name].values())

    def bandwidth(self, size: int) -> float:
        """Bytes per second of the measured size that is nearest by ratio."""
        nearest = min(self.streaming, key=lambda known: max(known, size) / min(known, size))
        return self.streaming[nearest]

    def facts(self) -> dict[str, str]:
        """Rows to print: name → value."""
        steps = {size: rate for size, rate in self.streaming.items() if size in SIZES}
        return {
            "products": f"float32 {self.compute('float32') / 1e9:.0f} GFLOP/s (one thread alone "
            f"{self.alone / 1e9:.0f}), bfloat16 {self.compute('bfloat16') / 1e9:.0f}",
            "reading": "GB/s of all threads, by KB each: "
            + ", ".join(f"{size >> 10}: {rate / 1e9:.0f}" for size, rate in steps.items()),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "threads": self.threads,
            "one_thread_gflops": round(self.alone / 1e9, 1),
            "gemm_gflops": {
                name: {"x".join(map(str, shape)): round(rate / 1e9, 1) for shape, rate in rates}
                for name, rates in ((name, found.items()) for name, found in self.gemm.items())
            },
            "streaming_gb_per_s": {
                str(size): round(rate / 1e9, 1) for size, rate in self.streaming.items()
            },
        }


def floor(case: Case, cell: str, rates: Rates, precision: str = "float32") -> float:
    """The least time of a case in seconds. A training step has the operations of three forward
    passes (its own, the input's gradient, the weights' gradients), all in large products."""
    names = ("float32",) if precision == "float32" else ("float32", "bfloat16")
    rate = rates.compute(*names)
    inputs, recurrent = case.input_operations(cell), case.recurrent_operations(cell)
    if case.kind == "training":
        return 3 * (inputs + recurrent) / rate
    element = BYTES[precision]
    bandwidth = rates.bandwidth(share(case, cell, rates.threads, element))
    reading = case.streamed_bytes(cell, element) / bandwidth
    return inputs / rate + max(recurrent / rate, reading)


def share(case: Case, cell: str, threads: int, element: int = 4) -> int:
    """Bytes of recurrent weights that one thread reads per frame."""
    return case.recurrent_bytes(cell, element) // threads


def measure_rates(
    cases: Iterable[Case], cells: Sequence[str], threads: int, precisions: Sequence[str]
) -> Rates:
    """The rates needed for the cases' floors; takes some seconds."""
    cases = list(cases)
    sizes = {
        share(case, cell, threads, BYTES[precision])
        for case in cases for cell in cells for precision in precisions
    }  # fmt: skip
    shapes = sorted({
        (ROWS, columns, 3 * case.directions * case.hidden)
        for case in cases for columns in case.columns()
    })  # fmt: skip
    torch.set_num_threads(threads)
    gemm = {
        name: measure_gemm(shapes, dtype)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    best = max(gemm["float32"], key=gemm["float32"].__getitem__)
    torch.set_num_threads(1)
    alone = measure_gemm([best], torch.float32)[best]
    torch.set_num_threads(threads)
    return Rates(threads, alone, gemm, measure_streaming([*SIZES, *sizes], threads))


def measure_gemm(shapes: Sequence[ProductShape], dtype: torch.dtype) -> dict[ProductShape, float]:
    """Operations per second of torch's matrix product on torch's threads, the fastest of some.
    After a slow shape (no instructions for this type) larger ones are skipped."""
    rates: dict[ProductShape, float] = {}
    for shape in sorted(shapes, key=lambda s: s[0] * s[1] * s[2]):
        rows, k, columns = shape
        a, b = torch.rand(rows, k).to(dtype), torch.rand(k, columns).to(dtype)
        out = torch.empty(rows, columns, dtype=dtype)
        seconds = []
        for _ in range(SAMPLES + 1):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            seconds.append(time.perf_counter() - start)
            if seconds[-1] > SLOW:
                break
        rates[shape] = 2 * rows * k * columns / min(seconds)
        if min(seconds) > SLOW:
            break
    return rates
