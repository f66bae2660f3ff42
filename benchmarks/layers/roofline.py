"""The least time of a case (its floor) that this machine's arithmetic and memory allow.

Input products are one large matrix product, limited by the rate of multiply-adds on registers
(`fma`). Recurrent products depend on each other frame by frame. With many rows they are limited by
the same rate; with few, by reading the weights, at the rate measured for their size. All threads
can share the weights of a direction, so that size is a thread's share. Gates, states and barriers
are not counted, so a floor is not reached.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.layers.case import Case
from benchmarks.layers.fma import measure_arithmetic
from benchmarks.layers.streaming import SIZES, measure_streaming

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Of one weight, by the names of `kernels.PRECISIONS`."""


@dataclass(frozen=True)
class Rates:
    """Measured on `threads` threads together."""

    threads: int
    alone: float  # float32 operations per second of one thread
    peak: dict[str, float]  # operations per second by type, 0 without instructions for it
    streaming: dict[int, float]  # bytes per second, by bytes per thread

    def compute(self, *names: str) -> float:
        """Operations per second: the best of these types."""
        return max(self.peak[name] for name in names)

    def bandwidth(self, size: int) -> float:
        """Bytes per second of the measured size that is nearest by ratio."""
        nearest = min(self.streaming, key=lambda known: max(known, size) / min(known, size))
        return self.streaming[nearest]

    def facts(self) -> dict[str, str]:
        """Rows to print: name → value."""
        steps = {size: rate for size, rate in self.streaming.items() if size in SIZES}
        return {
            "arithmetic": f"float32 {self.peak['float32'] / 1e9:.0f} GFLOP/s (one thread alone "
            f"{self.alone / 1e9:.0f}), bfloat16 {self.peak['bfloat16'] / 1e9:.0f}",
            "reading": "GB/s of all threads, by KB each: "
            + ", ".join(f"{size >> 10}: {rate / 1e9:.0f}" for size, rate in steps.items()),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "threads": self.threads,
            "one_thread_gflops": round(self.alone / 1e9, 1),
            "peak_gflops": {name: round(rate / 1e9, 1) for name, rate in self.peak.items()},
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
    peak = {name: measure_arithmetic(threads, name) for name in ("float32", "bfloat16")}
    alone = measure_arithmetic(1)
    return Rates(threads, alone, peak, measure_streaming([*SIZES, *sizes], threads))
