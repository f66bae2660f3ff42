"""The compiled kernels of this process."""

import threading
from functools import cache

import torch

from speechgru.cells.cpu import loops
from speechgru.cells.cpu.layout import vector_bytes

_lock = threading.Lock()


@cache
def _compiled(kind: str, dtype: torch.dtype, back: bool) -> loops.Compiled:
    lanes = vector_bytes() // dtype.itemsize
    return loops.compile_kernel(kind, 8 * dtype.itemsize, lanes, back)


def kernel(kind: str, dtype: torch.dtype, back: bool) -> int:
    """The address of a kernel, compiled at its first use."""
    with _lock:
        return int(_compiled(kind, dtype, back).address)
