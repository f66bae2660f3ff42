"""Compiling NumPy loops with numba, and keeping the machine code on disk.

numba finds out by itself that a function's source has changed, but not that one it calls from
another file has; so the name of every compiled function contains a digest of all these sources.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

PACKAGES = ("lm", "decoding", "scoring")  # whose functions call each other


def _digest() -> str:
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((Path(__file__).parent / package).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


_STAMP = _digest()


_OPTIONS = {"nogil": True, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Any:
    """`function` in machine code, compiled when first called and loaded from disk after that.

    It must always be called with the same types: two processes that compile two versions of one
    function at the same time can mix up numba's index of them. It releases the GIL.
    """
    function.__qualname__ = f"{function.__qualname__}_{_STAMP}"
    try:
        return numba.njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # no folder that can be written
        return numba.njit(function, **_OPTIONS)


def inner(function: Callable[..., Any]) -> Any:
    """`function` as a part of the compiled functions that call it, for any types."""
    return numba.njit(function, **_OPTIONS)


def inlined(function: Callable[..., Any]) -> Any:
    """As `inner`, but copied into its callers: for many arguments, which take longer to pass than
    to use."""
    return numba.njit(function, inline="always", **_OPTIONS)
