"""Reuse of large buffers.

A fresh one costs a page fault per 4 KB, which at the sizes of a training step takes as long as the
arithmetic of a small layer (18 ms for 41 MB on Zen 4).
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from speechgru.kernels.threads import ForkLock

SMALL = 1 << 18
"""Bytes below which the allocator reuses memory by itself."""
KEPT = 1 << 29
"""Bytes of unused buffers kept at most."""

_lock = ForkLock()
_free: list[torch.UntypedStorage] = []


def take(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor; return it with `give` when it is no longer used."""
    needed = prod(shape) * dtype.itemsize
    if needed < SMALL:
        return torch.empty(shape, dtype=dtype, device="cpu")
    with _lock:
        fitting = [s for s in _free if needed <= s.nbytes() <= 4 * needed]
        storage = min(fitting, key=lambda s: s.nbytes(), default=None)
        if storage is not None:
            _free.remove(storage)
    if storage is None:
        # A little more than needed, so that the next, slightly longer batch fits too.
        block = torch.empty(needed + needed // 8, dtype=torch.uint8, device="cpu")
        storage = block.untyped_storage()
    view = torch.empty(0, dtype=dtype, device="cpu")
    view.set_(storage, 0, torch.Size(shape))  # type: ignore[call-overload]
    return view


def give(tensor: Tensor) -> None:
    """Offer a tensor's memory to the next `take`."""
    storage = tensor.untyped_storage()
    if storage.nbytes() < SMALL:
        return
    with _lock:
        _free.append(storage)
        while sum(s.nbytes() for s in _free) > KEPT:
            _free.pop(0)


def release_buffers() -> None:
    """Free the buffers that kernels keep between calls, up to 512 MB; the next call allocates."""
    with _lock:
        _free.clear()
