"""Fast kernels for recurrent layers on x86-64 CPUs, compiled by numba on the user's machine.

Design: one loop over time for all cells, a matrix-vector micro-kernel in explicit vector code,
gates as small functions, utterances of different lengths side by side without packing.

This module is the whole public interface; numba is imported at the first call of a kernel.
"""

import importlib.util
import os
import platform
import sys
from functools import cache

import torch

from speechgru.kernels import stamp as stamp  # read now, not at the first compilation
from speechgru.kernels.buffers import release_buffers
from speechgru.kernels.gates import GATES
from speechgru.kernels.kernel import Kernel
from speechgru.kernels.packed import Weights
from speechgru.kernels.threads import mark_pool_used

SUPPORTED_CELLS = tuple(GATES)
"""Names of the cells that have a kernel."""
PRECISIONS = ("float32", "bfloat16")
"""Of the factors of products; sums, gates, states and results are float32."""


@cache
def unsupported_reason(precision: str = "float32") -> str | None:
    """Why kernels of this precision cannot run in this process; None if they can."""
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
    except Exception as error:  # built for another NumPy, say
        return f"numba cannot be imported: {error}"
    if numba.config.DISABLE_JIT:
        return "NUMBA_DISABLE_JIT is set"
    if precision == "bfloat16":
        from speechgru.kernels import layout, vector

        if layout.vector_bytes() < 64 or not vector.has_feature("avx512bf16"):
            return "the processor has no AVX512-BF16"
    return None


__all__ = [
    "PRECISIONS",
    "SUPPORTED_CELLS",
    "Kernel",
    "Weights",
    "mark_pool_used",
    "release_buffers",
    "unsupported_reason",
]
