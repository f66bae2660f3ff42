"""Matrix products of whole batches: input projections, and the gradients of inputs and weights.

They use the recurrence's micro-kernel because a general library is slower on some processors (by
a third on Zen 4), and because a frame's result then does not depend on the number of other frames.

Matrices on the right side are packed in panels of `WIDE` vectors of columns, (k, wide, lanes)
each; the last panel may be narrower. Threads draw jobs from a counter.
"""

from typing import Any

from numba import njit

from speechgru.kernels.arguments import AccumulateArguments, MultiplyArguments
from speechgru.kernels.layout import WIDE
from speechgru.kernels.vector import (
    constant,
    fetch_add,
    load_first,
    overload,
    pairs_of,
    peek,
    poke,
    read,
    store,
    store_first,
    tile,
)


def panel_product(
    machine: Any,
    left: int,
    wide: int,
    a: int,
    a_step: int,
    w: int,
    k: int,
    start: int,
    start_step: int,
    c: int,
    c_step: int,
) -> int:
    """`tile` for up to `left` rows and a panel of `wide` vectors; returns how many rows."""
    raise NotImplementedError


@overload(panel_product)
def _panel_product(
    machine: Any,
    left: Any,
    wide: Any,
    a: Any,
    a_step: Any,
    w: Any,
    k: Any,
    start: Any,
    start_step: Any,
    c: Any,
    c_step: Any,
) -> Any:
    most = rows_at_once(machine.vec.bytes)

    def rows(machine, left, wide, a, a_step, w, k, start, start_step, c, c_step):  # type: ignore
        if wide == 3:
            if left >= most:
                tile(machine, most, 3, 0, a, a_step, w, k, start, start_step, c, c_step)
                return most
            if left >= 2:
                tile(machine, 2, 3, 0, a, a_step, w, k, start, start_step, c, c_step)
                return 2
            tile(machine, 1, 3, 0, a, a_step, w, k, start, start_step, c, c_step)
            return 1
        if wide == 2:
            if left >= most:
                tile(machine, most, 2, 0, a, a_step, w, k, start, start_step, c, c_step)
                return most
            tile(machine, 1, 2, 0, a, a_step, w, k, start, start_step, c, c_step)
            return 1
        if left >= most:
            tile(machine, most, 1, 0, a, a_step, w, k, start, start_step, c, c_step)
            return most
        tile(machine, 1, 1, 0, a, a_step, w, k, start, start_step, c, c_step)
        return 1

    return rows


def rows_at_once(vector_bytes: int) -> int:
    """Rows of a tile of WIDE vectors: 24 sums of 32 registers, or 12 of 16."""
    return 8 if vector_bytes == 64 else 4


@njit(error_model="numpy")
def multiply(m: Any, address: int) -> None:
    a = read(address, MultiplyArguments)
    panels = (a.vectors + WIDE - 1) // WIDE
    chunks = max(1, a.rows // a.chunk)
    each = 1 if a.summed else a.items
    while True:
        job = fetch_add(a.ticket, 1)
        if job >= chunks * a.groups * each:
            return
        i, chunk, group = job % each, job // each // a.groups, job // each % a.groups
        first = chunk * a.chunk
        # The last chunk takes the rest.
        last = a.rows if chunk == chunks - 1 else first + a.chunk
        for p in range(panels * group // a.groups, panels * (group + 1) // a.groups):
            row = first
            while row < last:
                row += _corner(m, a, i, row, last, p)


@njit(error_model="numpy", forceinline=True)
def _corner(m: Any, a: Any, i: int, row: int, last: int, p: int) -> int:
    """A few rows of one panel; returns how many."""
    size = constant(m, "bytes")
    wide = min(WIDE, a.vectors - p * WIDE)
    c = a.c + i * a.c_next + row * a.c_step + p * WIDE * size
    start = a.start + i * a.start_next + row * a.start_step + p * WIDE * size
    start_step, taken = a.start_step, 0
    for j in range(a.items if a.summed else 1):
        taken = panel_product(
            m,
            last - row,
            wide,
            a.a + (i + j) * a.a_next + row * a.a_step,
            a.a_step,
            a.w + (i + j) * a.w_next + p * WIDE * a.k * size,
            a.k,
            start,
            start_step,
            c,
            a.c_step,
        )
        start, start_step = c, a.c_step
    return taken


@njit(error_model="numpy")
def accumulate(m: Any, address: int) -> None:
    a = read(address, AccumulateArguments)
    size, lanes = constant(m, "bytes"), constant(m, "lanes")
    vectors = (a.width + lanes - 1) // lanes
    high, factors = 8 if size == 64 else 4, constant(m, "factors")
    tiles = a.columns // high
    while True:
        job = fetch_add(a.ticket, 1)
        if job >= a.items * a.splits:
            return
        i, split = job // a.splits, job % a.splits
        packed_b = a.scratch + job * a.scratch_step
        packed_a = packed_b + a.chunk * vectors * size
        for first in range(0, a.rows, a.chunk):
            rows = min(a.chunk, a.rows - first)
            k = (rows + factors - 1) // factors
            _pack(m, a.b + i * a.b_next + first * a.b_step, a.b_step, rows, a.width, packed_b)
            for t in range(tiles * split // a.splits, tiles * (split + 1) // a.splits):
                column = t * high * (size // lanes)
                _pack_columns(
                    m, a.a + i * a.a_next + first * a.a_step + column, a.a_step, rows, packed_a
                )
                c = a.c + i * a.c_next + t * high * vectors * size
                for p in range((vectors + WIDE - 1) // WIDE):
                    start = c + p * WIDE * size if first else a.zeros
                    _add_outer(
                        m,
                        min(WIDE, vectors - p * WIDE),
                        packed_a,
                        packed_b + p * WIDE * k * size,
                        k,
                        start,
                        vectors * size if first else 0,
                        c + p * WIDE * size,
                        vectors * size,
                    )


@njit(error_model="numpy")
def _pack(m: Any, b: int, b_step: int, rows: int, width: int, packed: int) -> None:
    """Rows of b as panels."""
    size, lanes, factors = constant(m, "bytes"), constant(m, "lanes"), constant(m, "factors")
    vectors, k = (width + lanes - 1) // lanes, (rows + factors - 1) // factors
    for p in range((vectors + WIDE - 1) // WIDE):
        wide = min(WIDE, vectors - p * WIDE)
        to = packed + p * WIDE * k * size
        for row in range(0, rows, factors):
            for v in range(wide):
                at = p * WIDE + v
                address = b + row * b_step + at * size
                value = _load_factors(m, address, b_step, rows - row, width - at * lanes)
                store(to + (row // factors * wide + v) * size, value)


def _load_factors(machine: Any, address: int, step: int, left: int, count: int) -> Any:
    """The first `count` lanes of a row; of a row and the next, if any is left, as pairs."""
    raise NotImplementedError


def _pack_columns(machine: Any, a: int, a_step: int, rows: int, packed: int) -> None:
    """A few columns of a, as many as a tile has rows, side by side."""
    raise NotImplementedError


def _add_outer(
    machine: Any,
    wide: int,
    a: int,
    w: int,
    k: int,
    start: int,
    start_step: int,
    c: int,
    c_step: int,
) -> None:
    """`tile` for packed columns of a."""
    raise NotImplementedError


@overload(_load_factors)
def _choose_load_factors(machine: Any, address: Any, step: Any, left: Any, count: Any) -> Any:
    if not machine.bf16:
        return lambda machine, address, step, left, count: load_first(machine, address, count)

    def pairs(machine, address, step, left, count):  # type: ignore[no-untyped-def]
        second = load_first(machine, address + step, count if left > 1 else 0)
        return pairs_of(load_first(machine, address, count), second)

    return pairs


@overload(_pack_columns)
def _choose_pack_columns(machine: Any, a: Any, a_step: Any, rows: Any, packed: Any) -> Any:
    # The columns are a tile's rows: half a vector, or for doubles all of it.
    high = rows_at_once(machine.vec.bytes)
    bytes_ = high * machine.vec.bits // 8

    def copy(machine, a, a_step, rows, packed):  # type: ignore[no-untyped-def]
        for row in range(rows):
            for word in range(bytes_ // 8):
                poke(packed + row * bytes_ + 8 * word, peek(a + row * a_step, word))

    def round_(machine, a, a_step, rows, packed):  # type: ignore[no-untyped-def]
        for row in range(0, rows, 2):
            pairs = _load_factors(machine, a + row * a_step, a_step, rows - row, high)
            store_first(packed + row // 2 * bytes_, pairs, high)

    return round_ if machine.bf16 else copy


@overload(_add_outer)
def _choose_add_outer(
    machine: Any,
    wide: Any,
    a: Any,
    w: Any,
    k: Any,
    start: Any,
    start_step: Any,
    c: Any,
    c_step: Any,
) -> Any:
    high = rows_at_once(machine.vec.bytes)

    def add(machine, wide, a, w, k, start, start_step, c, c_step):  # type: ignore[no-untyped-def]
        if wide == 3:
            tile(machine, high, 3, 1, a, 0, w, k, start, start_step, c, c_step)
        elif wide == 2:
            tile(machine, high, 2, 1, a, 0, w, k, start, start_step, c, c_step)
        else:
            tile(machine, high, 1, 1, a, 0, w, k, start, start_step, c, c_step)

    return add
