"""Kernels compiled at their first use and cached on disk.

A kernel is a C function void(address of its arguments), so that any pool of threads can run it and
no Python objects are unpacked.
"""

import logging
import time
from typing import Any

import torch
from llvmlite.binding import get_host_cpu_name
from numba import cfunc, config, types
from numba.extending import intrinsic

from speechgru.kernels.gates import GATES, GateShape
from speechgru.kernels.layout import vector_bytes
from speechgru.kernels.loops import run_teams, team_backward, team_forward
from speechgru.kernels.products import accumulate, multiply
from speechgru.kernels.stamp import STAMP
from speechgru.kernels.threads import CompiledFunction, ForkLock
from speechgru.kernels.vector import Machine

log = logging.getLogger(__name__)
_lock = ForkLock()
_functions: dict[tuple[str, str, torch.dtype, bool], CompiledFunction] = {}
_PLAIN = GateShape(gates=1, saved=1, states=1, wide=1)


@intrinsic
def machine_of(typingctx: Any, cell: Any, bits: Any, lanes: Any, bf16: Any) -> Any:
    """The value whose type makes a kernel one cell's; "" for products, which have no cell."""
    if not isinstance(cell, types.StringLiteral):
        return None
    name = cell.literal_value
    shape = GATES[name].shape if name else _PLAIN
    pairs = bool(bf16.literal_value)
    machine = Machine(name, shape, bits.literal_value, lanes.literal_value, pairs)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return ctx.get_dummy_value()

    return machine(cell, bits, lanes, bf16), codegen


def _forward(cell: str, bits: int, lanes: int, bf16: int) -> Any:
    def forward(address: int) -> None:
        run_teams(machine_of(cell, bits, lanes, bf16), address, team_forward)

    return forward


def _backward(cell: str, bits: int, lanes: int, bf16: int) -> Any:
    def backward(address: int) -> None:
        run_teams(machine_of(cell, bits, lanes, bf16), address, team_backward)

    return backward


def _multiply(cell: str, bits: int, lanes: int, bf16: int) -> Any:
    def product(address: int) -> None:
        multiply(machine_of(cell, bits, lanes, bf16), address)

    return product


def _accumulate(cell: str, bits: int, lanes: int, bf16: int) -> Any:
    def outer(address: int) -> None:
        accumulate(machine_of(cell, bits, lanes, bf16), address)

    return outer


_MAKERS = {
    "forward": _forward,
    "backward": _backward,
    "multiply": _multiply,
    "accumulate": _accumulate,
}


def _compile(name: str, cell: str, bits: int, lanes: int, bf16: bool) -> CompiledFunction:
    source = _MAKERS[name](cell, bits, lanes, int(bf16))
    # A file on disk for every kernel: numba's index is per qualified name, and two processes that
    # write one index at the same time can leave a kernel under another's name.
    cpu = config.CPU_NAME or get_host_cpu_name()
    source.__qualname__ = f"{cell}_{name}_{bits}x{lanes}_{int(bf16)}_{cpu}_{STAMP}"

    def compiled(cached: bool) -> CompiledFunction:
        make = cfunc(types.void(types.int64), cache=cached, nopython=True, error_model="numpy")
        made = make(source)
        return CompiledFunction(made.ctypes, made.address, made)

    started = time.perf_counter()
    try:
        result = compiled(cached=True)
    except Exception as error:  # no writable folder, a full disk, a broken file
        log.info("compiled CPU kernels cannot be cached on disk: %s", error)
        result = compiled(cached=False)
    took = time.perf_counter() - started
    if not result.owner.cache_hits:
        log.info("compiled the CPU kernel %s in %.1f s", f"{cell} {name}".strip(), took)
    return result


def function(name: str, cell: str, dtype: torch.dtype, bf16: bool) -> CompiledFunction:
    """forward or backward of a cell, multiply or accumulate of "".

    `dtype`: of the result; `bf16`: products multiply pairs of bfloat16.
    """
    key = (name, cell, dtype, bf16)
    found = _functions.get(key)
    if found is None:
        with _lock:
            found = _functions.get(key)
            if found is None:
                lanes = vector_bytes() // dtype.itemsize
                found = _functions[key] = _compile(name, cell, 8 * dtype.itemsize, lanes, bf16)
    return found
