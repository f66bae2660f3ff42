"""The recurrence over time, forward and backward, for any cell.

Both loops process many utterances side by side. Rows (an utterance in one direction) belong to
teams; a team is `parts` threads that share the units of its rows and meet at a barrier in every
frame, or a single thread that needs no barrier. Within a team rows are sorted by length, longest
first, so that at every step the rows still running are the first `active` ones: padded frames
are never touched.

A step of one block of units is the same for every cell: `tile` multiplies the old states of a few
rows with the block's panel of weights, then the gates are applied. Odd steps visit the blocks in
reverse order, so that the weights still in the cache are used first.
"""

from typing import Any

from numba import njit

from speechgru.kernels import functions
from speechgru.kernels.arguments import RecurrenceArguments
from speechgru.kernels.layout import WIDE
from speechgru.kernels.products import panel_product
from speechgru.kernels.vector import (
    Machine,
    call_int,
    constant,
    fetch_add,
    load_each,
    load_first,
    overload,
    pause,
    peek,
    peek_shared,
    read,
    store_bf16,
    store_each,
    store_first,
    tile,
)

SPINS = 2000
"""Looks at the barrier before yielding the processor to another thread."""


def _rows_at_once(machine: Machine, wide: int) -> tuple[int, int, int, int]:
    """Rows of one tile: as many as leave registers for the panel and a factor."""
    registers = 32 if machine.vec.bytes == 64 else 16
    most = min(8, (registers - 1) // wide - 1)
    return most, min(4, most), 2, 1


def product(
    machine: Any,
    left: int,
    a: int,
    a_step: int,
    w: int,
    k: int,
    start: int,
    start_step: int,
    c: int,
    c_step: int,
) -> int:
    """`tile` for up to `left` rows and one panel of a cell's gates; returns how many rows."""
    raise NotImplementedError


@overload(product)
def _product(
    machine: Any,
    left: Any,
    a: Any,
    a_step: Any,
    w: Any,
    k: Any,
    start: Any,
    start_step: Any,
    c: Any,
    c_step: Any,
) -> Any:
    wide = machine.shape.gates * machine.shape.wide
    most, some, two, one = _rows_at_once(machine, wide)

    def rows(machine, left, a, a_step, w, k, start, start_step, c, c_step):  # type: ignore
        if left >= most:
            tile(machine, most, wide, 0, a, a_step, w, k, start, start_step, c, c_step)
            return most
        if left >= some:
            tile(machine, some, wide, 0, a, a_step, w, k, start, start_step, c, c_step)
            return some
        if left >= two:
            tile(machine, two, wide, 0, a, a_step, w, k, start, start_step, c, c_step)
            return two
        tile(machine, one, wide, 0, a, a_step, w, k, start, start_step, c, c_step)
        return one

    return rows


@njit(error_model="numpy")
def meet(counter: int, parts: int, visits: int, give_way: int) -> None:
    """Wait until all threads of a team have called this `visits` times."""
    fetch_add(counter, 1)
    spins = 0
    while peek_shared(counter) < parts * visits:
        spins += 1
        if spins < SPINS or give_way == 0:
            pause()
        else:
            call_int(give_way)


@njit(error_model="numpy", forceinline=True)
def frame_of(direction: int, step: int, length: int) -> int:
    """A row's frame at a step: the reverse direction starts at the row's own last frame."""
    return step if direction == 0 else length - 1 - step


@njit(error_model="numpy", forceinline=True)
def advance(
    m: Any,
    a: Any,
    direction: int,
    row: int,
    step: int,
    unit: int,
    source: int,
    target: int,
    sums: int,
    left: int,
) -> None:
    """The gates of one row and one block of units, whose products are in `sums`."""
    size, wide = constant(m, "bytes"), constant(m, "wide")
    element = size // constant(m, "lanes")
    frame = frame_of(direction, step, peek(a.lengths, row))
    slot = a.padded * element
    tape = a.tape + (peek(a.first_frame, row) + frame) * a.tape_step + direction * a.slots_step
    y = a.y + (peek(a.first_output, row) + frame) * a.y_step + direction * a.units * element
    state = row * constant(m, "states") * slot
    for v in range(wide):
        at = (unit + v * constant(m, "lanes")) * element
        x = load_each(m, "gates", tape + at, slot)
        s = load_each(m, "gates", sums + v * size, wide * size)
        old = load_each(m, "states", source + state + at, slot)
        saved, new = functions.forward(m, x, s, old)
        store_each(target + state + at, slot, new)
        store_left(m, left + row * a.left_step + at // 2, new[0])
        store_first(y + at, new[0], a.units - unit - v * constant(m, "lanes"))
        if a.save:
            store_each(tape + at, slot, saved)
            store_each(tape + at + constant(m, "saved") * slot, slot, old)


@njit(error_model="numpy", forceinline=True)
def retreat(m: Any, a: Any, direction: int, row: int, step: int, unit: int) -> None:
    """The gradient of the gates of one row and one vector of units.

    Replaces the saved values by the gradients of the pre-activations, and the gradient of the
    new state by the part of the old state's that does not come through the weights.
    """
    element = constant(m, "bytes") // constant(m, "lanes")
    frame = frame_of(direction, step, peek(a.lengths, row))
    slot, at = a.padded * element, unit * element
    tape = a.tape + (peek(a.first_frame, row) + frame) * a.tape_step + direction * a.slots_step
    y = a.y + (peek(a.first_output, row) + frame) * a.y_step + direction * a.units * element
    state = a.state + row * constant(m, "states") * slot + at
    saved = load_each(m, "saved", tape + at, slot)
    old = load_each(m, "states", tape + at + constant(m, "saved") * slot, slot)
    grad = load_each(m, "states", state, slot)
    grad = add_first(grad, load_first(m, y + at, a.units - unit))
    slots, grad = functions.backward(m, saved, old, grad)
    store_each(tape + at, slot, slots)
    store_each(state, slot, grad)
    store_factors(m, a.scratch + row * a.scratch_step, at, slot, last(m, slots))


def store_left(machine: Any, address: int, h: Any) -> None:
    """Write h as the next step's products read it, if that is not the state itself."""
    raise NotImplementedError


def store_factors(machine: Any, address: int, at: int, stride: int, values: Any) -> None:
    """Store a tuple as products read it, from `at` on, where all are `stride` bytes apart in the
    state's own type."""
    raise NotImplementedError


def add_first(values: Any, x: Any) -> Any:
    """The tuple with x added to its first member."""
    raise NotImplementedError


def last(machine: Any, slots: Any) -> Any:
    """The gradients of the recurrent part: the last `gates` of the slots."""
    raise NotImplementedError


@overload(store_left)
def _store_left(machine: Any, address: Any, h: Any) -> Any:
    if machine.bf16:
        return lambda machine, address, h: store_bf16(address, 0, (h,))
    return lambda machine, address, h: None


@overload(store_factors)
def _store_factors(machine: Any, address: Any, at: Any, stride: Any, values: Any) -> Any:
    if machine.bf16:
        return lambda machine, address, at, stride, values: store_bf16(
            address + at // 2, stride // 2, values
        )
    return lambda machine, address, at, stride, values: store_each(address + at, stride, values)


@overload(add_first)
def _add_first(values: Any, x: Any) -> Any:
    if len(values) == 1:
        return lambda values, x: (values[0] + x,)
    return lambda values, x: (values[0] + x, *values[1:])


@overload(last)
def _last(machine: Any, slots: Any) -> Any:
    skip = machine.shape.saved - machine.shape.gates
    return lambda machine, slots: slots[skip:]


@njit(error_model="numpy", forceinline=True)
def team_forward(m: Any, a: Any, team: int, part: int, parts: int, scratch: int) -> None:
    direction, first = peek(a.teams, 3 * team), peek(a.teams, 3 * team + 1)
    rows = peek(a.teams, 3 * team + 2)
    size = constant(m, "bytes")
    block = constant(m, "wide") * constant(m, "lanes")
    blocks = a.padded // block
    begin, end = blocks * part // parts, blocks * (part + 1) // parts
    sums_step = constant(m, "gates") * constant(m, "wide") * size
    weight = a.weight + direction * a.weight_step
    bias = a.bias + direction * a.bias_step
    active = rows
    step = 0
    source, target = a.state, a.state_next
    left, left_next = a.left, a.left_next
    while True:
        while active > 0 and peek(a.lengths, first + active - 1) <= step:
            active -= 1
        if active == 0:
            return
        for i in range(begin, end):
            b = i if step % 2 == 0 else begin + end - 1 - i
            row = 0
            while row < active:
                taken = product(
                    m,
                    active - row,
                    left + (first + row) * a.left_step,
                    a.left_step,
                    weight + b * a.depth * sums_step,
                    a.depth,
                    bias + b * sums_step,
                    0,
                    scratch,
                    sums_step,
                )
                for r in range(taken):
                    advance(
                        m,
                        a,
                        direction,
                        first + row + r,
                        step,
                        b * block,
                        source,
                        target,
                        scratch + r * sums_step,
                        left_next,
                    )
                row += taken
        step += 1
        source, target = target, source
        left, left_next = left_next, left
        if parts > 1:
            meet(a.barriers + 64 * team, parts, step, a.give_way)


@njit(error_model="numpy", forceinline=True)
def team_backward(m: Any, a: Any, team: int, part: int, parts: int, scratch: int) -> None:
    direction, first = peek(a.teams, 3 * team), peek(a.teams, 3 * team + 1)
    rows = peek(a.teams, 3 * team + 2)
    lanes = constant(m, "lanes")
    element = constant(m, "bytes") // lanes
    vectors = a.padded // lanes
    blocks = (vectors + WIDE - 1) // WIDE
    begin, end = blocks * part // parts, blocks * (part + 1) // parts
    k = a.depth
    state_step = constant(m, "states") * a.padded * element
    weight = a.weight + direction * a.weight_step
    active, visits = 0, 0
    for step in range(peek(a.lengths, first) - 1, -1, -1):
        while active < rows and peek(a.lengths, first + active) > step:
            active += 1
        for row in range(first, first + active):
            for v in range(WIDE * begin, min(WIDE * end, vectors)):
                retreat(m, a, direction, row, step, v * lanes)
        if parts > 1:
            visits += 1
            meet(a.barriers + 64 * team, parts, visits, a.give_way)
        for i in range(begin, end):
            b = i if step % 2 == 0 else begin + end - 1 - i
            row = 0
            while row < active:
                state = a.state + (first + row) * state_step + WIDE * b * lanes * element
                row += panel_product(
                    m,
                    active - row,
                    min(WIDE, vectors - WIDE * b),
                    a.scratch + (first + row) * a.scratch_step,
                    a.scratch_step,
                    weight + WIDE * b * k * lanes * element,
                    k,
                    state,
                    state_step,
                    state,
                    state_step,
                )
        if parts > 1:
            visits += 1
            meet(a.barriers + 64 * team, parts, visits, a.give_way)


@njit(error_model="numpy", forceinline=True)
def run_teams(m: Any, address: int, team: Any) -> None:
    """Run by every thread: its part of its team, or whole teams in turn."""
    a = read(address, RecurrenceArguments)
    count, index = 1, 0
    if a.thread_count:
        count, index = call_int(a.thread_count), call_int(a.thread_index)
    parts = a.parts
    if count % parts:  # not all of a team would run at the same time
        parts = 1
    scratch = a.scratch + index * a.scratch_step
    job = index
    while job < a.team_count * parts:
        team(m, a, job // parts, job % parts, parts, scratch)
        job += count
