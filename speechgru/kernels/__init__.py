"""Fast kernels for recurrent layers on x86-64 processors, compiled on the user's machine.

Design: one loop over time for all cells, a matrix-vector micro-kernel in explicit vector code,
gates as small functions, utterances of different lengths side by side without packing.
"""

import importlib.util
import os
import platform
import sys
from functools import cache

import torch

from speechgru.kernels.gates import CELLS
from speechgru.kernels.kernel import Kernel, Weights
from speechgru.kernels.stamp import STAMP  # taken now, not at the first compilation

KINDS = tuple(CELLS)
PRECISIONS = ("float32", "bfloat16")


@cache
def unavailable() -> str | None:
    """Why the kernels cannot be used in this process, None if they can."""
    if os.environ.get("SPEECHGRU_CPU_KERNELS") == "0":
        return "SPEECHGRU_CPU_KERNELS=0"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"not tested on {sys.platform} {platform.machine()}"
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return "the processor has no AVX2"
    if importlib.util.find_spec("numba") is None:
        return "numba is not installed"
    try:
        import numba
    except Exception as fault:  # another NumPy than it was built for, say
        return f"numba cannot be used: {fault}"
    if numba.config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set"
    return None


@cache
def unsupported_reason(precision: str) -> str | None:
    """What a precision needs and this machine has not, None if it has all."""
    if precision == "float32":
        return None
    if (reason := unavailable()) is not None:
        return f"CPU kernels off: {reason}"
    from speechgru.kernels import layout, vector  # brings numba

    if layout.vector_bytes() < 64 or not vector.has_feature("avx512bf16"):
        return "the processor has no AVX512-BF16"
    return None


__all__ = ["KINDS", "PRECISIONS", "STAMP", "Kernel", "Weights", "unavailable", "unsupported_reason"]
