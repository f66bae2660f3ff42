"""The arithmetic limit of this machine: multiply-adds on registers only, without any memory.

A library's best matrix product is below it, and by how much differs from processor to processor, so
that it is no limit. Every thread multiplies and adds in SUMS independent registers, enough to hide
the latency of an instruction, in explicit vector code of the instruction set in use.
"""

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from benchmarks.layers.streaming import SAMPLES, lanes, run_passes, together
from speechgru import kernels
from speechgru.kernels.vector import BFloat

SUMS = 12  # 4 cycles × 2 units need 8; there are 16 registers with AVX2
PASSES = 100  # of the sums per step of the loop


@intrinsic
def _multiply_add(typingctx: Any, lanes: Any, bf16: Any, steps: Any, factor: Any) -> Any:
    """The sum of one element of each of SUMS vectors, after `steps` × PASSES multiply-adds. With
    `bf16`, each adds the products of two pairs of bfloat16. The factor is an argument, so that the
    compiler cannot do the work."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    count, paired = lanes.literal_value, bf16.literal_value
    vector = ir.VectorType(ir.FloatType(), count)
    factors = ir.VectorType(BFloat(), 2 * count) if paired else vector
    order = [vector, factors, factors] if paired else [factors, factors, vector]
    name = "llvm.x86.avx512bf16.dpbf16ps.512" if paired else f"llvm.fma.v{count}f32"

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(vector, order)
        instruction = cgutils.get_or_insert_function(b.module, kind, name)
        small = ir.Constant(vector, [0.0] * count)
        for lane in range(count):
            small = b.insert_element(small, args[3], ir.IntType(32)(lane))
        factor = b.bitcast(small, factors)
        starts = (ir.Constant(vector, [1.0 + i] * count) for i in range(SUMS))
        totals = [cgutils.alloca_once_value(b, start) for start in starts]
        with cgutils.for_range(b, args[2]):
            sums = [b.load(total) for total in totals]
            for _ in range(PASSES):
                arguments = [[x, factor, factor] if paired else [factor, factor, x] for x in sums]
                sums = [b.call(instruction, each) for each in arguments]
            for total, value in zip(totals, sums, strict=True):
                b.store(value, total)
        result = ir.Constant(ir.FloatType(), 0.0)
        for total in totals:
            result = b.fadd(result, b.extract_element(b.load(total), ir.IntType(32)(0)))
        return result

    return types.float32(lanes, bf16, types.int64, types.float32), codegen


def multiply_add_loop(width: int, bf16: bool) -> Any:
    """A compiled function of the number of steps and the factor: see `_multiply_add`."""

    @njit(nogil=True)
    def loop(steps: int, factor: np.float32) -> Any:
        return _multiply_add(width, bf16, steps, factor)

    return loop


def measure_arithmetic(threads: int, precision: str = "float32") -> float:
    """Operations per second of all threads together; a multiplication and an addition are two. 0
    where the processor has no instructions for the precision."""
    bf16 = precision == "bfloat16"
    if bf16 and kernels.unsupported_reason(precision) is not None:
        return 0.0
    loop = partial(multiply_add_loop(lanes(), bf16), factor=np.float32(2**-30))
    steps = run_passes(loop)
    operations = (4 if bf16 else 2) * lanes() * SUMS * PASSES * steps
    return max(
        sum(operations / seconds for seconds in together([lambda: loop(steps)] * threads))
        for _ in range(SAMPLES)
    )
