"""Compiling kernels at their first use, keeping them on disk, and calling them.

A kernel is a C function void(address of its arguments), so that it can be handed to any pool of
threads and needs no unpacking of Python objects.
"""

import logging
import time
from typing import Any

import torch
from llvmlite.binding import get_host_cpu_name
from numba import cfunc, config, types
from numba.extending import intrinsic

from speechgru.kernels.gates import CELLS, Shape
from speechgru.kernels.layout import vector_bytes
from speechgru.kernels.loops import run_teams, team_backward, team_forward
from speechgru.kernels.products import accumulate, multiply
from speechgru.kernels.stamp import STAMP
from speechgru.kernels.threads import ForkLock, Kernel
from speechgru.kernels.vector import Machine

log = logging.getLogger(__name__)
_lock = ForkLock()
_kernels: dict[tuple[str, str, torch.dtype, bool], Kernel] = {}
_PLAIN = Shape(gates=1, saved=1, states=1, wide=1)


@intrinsic
def machine_of(typingctx: Any, cell: Any, bits: Any, lanes: Any, short: Any) -> Any:
    """The token that makes a kernel one cell's; "" for products, which know no cell."""
    if not isinstance(cell, types.StringLiteral):
        return None
    name = cell.literal_value
    shape = CELLS[name].shape if name else _PLAIN
    is_short = bool(short.literal_value)
    machine = Machine(name, shape, bits.literal_value, lanes.literal_value, is_short)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return ctx.get_dummy_value()

    return machine(cell, bits, lanes, short), codegen


def _forward(cell: str, bits: int, lanes: int, short: int) -> Any:
    def forward(address: int) -> None:
        run_teams(machine_of(cell, bits, lanes, short), address, team_forward)

    return forward


def _backward(cell: str, bits: int, lanes: int, short: int) -> Any:
    def backward(address: int) -> None:
        run_teams(machine_of(cell, bits, lanes, short), address, team_backward)

    return backward


def _multiply(cell: str, bits: int, lanes: int, short: int) -> Any:
    def product(address: int) -> None:
        multiply(machine_of(cell, bits, lanes, short), address)

    return product


def _accumulate(cell: str, bits: int, lanes: int, short: int) -> Any:
    def outer(address: int) -> None:
        accumulate(machine_of(cell, bits, lanes, short), address)

    return outer


_MAKERS = {
    "forward": _forward,
    "backward": _backward,
    "multiply": _multiply,
    "accumulate": _accumulate,
}


def _compile(what: str, cell: str, bits: int, lanes: int, short: bool) -> Kernel:
    function = _MAKERS[what](cell, bits, lanes, int(short))
    # A file on disk for every kernel: numba keeps an index by qualified name, and two processes
    # that write one index at the same time can leave a kernel under another's name.
    cpu = config.CPU_NAME or get_host_cpu_name()
    function.__qualname__ = f"{cell}_{what}_{bits}x{lanes}_{int(short)}_{cpu}_{STAMP}"

    def compiled(cached: bool) -> Kernel:
        make = cfunc(types.void(types.int64), cache=cached, nopython=True, error_model="numpy")
        made = make(function)
        return Kernel(made.ctypes, made.address, made)

    started = time.perf_counter()
    try:
        result = compiled(cached=True)
    except Exception as problem:  # no writable folder, a full disk, a broken file
        log.info("compiled CPU kernels cannot be kept on disk: %s", problem)
        result = compiled(cached=False)
    took = time.perf_counter() - started
    if not result.owner.cache_hits:
        log.info("compiled the CPU kernel %s in %.1f s", f"{cell} {what}".strip(), took)
    return result


def kernel(what: str, cell: str, dtype: torch.dtype, short: bool) -> Kernel:
    """A kernel: forward or backward of a cell, multiply or accumulate of "".

    `dtype`: of what comes out; `short`: products multiply pairs of bfloat16.
    """
    key = (what, cell, dtype, short)
    found = _kernels.get(key)
    if found is None:
        with _lock:
            found = _kernels.get(key)
            if found is None:
                lanes = vector_bytes() // dtype.itemsize
                found = _kernels[key] = _compile(what, cell, 8 * dtype.itemsize, lanes, short)
    return found
