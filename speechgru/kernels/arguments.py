"""What compiled kernels are called with: int64 numbers in memory.

Arrays are addresses and steps are bytes: `_step` from row to row, `_next` from item to item.
"""

from typing import NamedTuple


class RecurrenceArguments(NamedTuple):
    """For the loops over time, forward and backward."""

    thread_count: int  # C functions int(void), or 0
    thread_index: int
    give_way: int
    barriers: int  # one counter of 64 bytes per team
    teams: int  # (direction, first row, rows) of each
    team_count: int
    parts: int  # threads per team
    units: int  # hidden size
    padded: int  # hidden size in every buffer, a multiple of a block
    lengths: int  # of each row
    first_frame: int  # each row's first frame in `tape`
    first_output: int  # each row's first frame in `y`
    tape: int  # (frames, directions, slots, padded): input part in, saved values out
    tape_step: int
    slots_step: int  # from direction to direction
    y: int  # (frames, directions * units): output, or its gradient
    y_step: int
    weight: int  # packed panels of each direction
    weight_step: int
    bias: int
    bias_step: int
    state: int  # (rows, states, padded)
    state_next: int
    left: int  # (rows, …) what products read of the states: the states themselves or bfloat16 pairs
    left_next: int
    left_step: int
    depth: int  # of a product: units (backward: of all gates), or pairs of them
    scratch: int  # forward: (threads, tile), backward: (rows, gates, padded)
    scratch_step: int
    save: int  # 1: write what the backward pass needs


class MultiplyArguments(NamedTuple):
    """c[i] = start[i] + a[i] @ w[i] for i < items; or, if `summed`, one c with the sum of all."""

    ticket: int  # address of a zero: the next job
    items: int
    summed: int
    rows: int
    k: int
    vectors: int  # columns of c
    chunk: int  # rows of a job
    groups: int  # number of jobs that the panels are split into
    a: int
    a_step: int
    a_next: int
    w: int
    w_next: int
    start: int
    start_step: int
    start_next: int
    c: int
    c_step: int
    c_next: int


class AccumulateArguments(NamedTuple):
    """c[i] = the transpose of a[i] times b[i], for i < items: sums over many rows (frames)."""

    ticket: int
    items: int
    splits: int  # number of jobs that the rows of c are split into
    rows: int  # of a and b
    chunk: int  # rows packed at a time
    columns: int  # of a, a multiple of a tile's rows
    width: int  # of b, in elements
    a: int
    a_step: int
    a_next: int
    b: int
    b_step: int
    b_next: int
    c: int  # (columns, vectors of b)
    c_next: int
    zeros: int  # a row of WIDE vectors
    scratch: int  # of each job: packed b, then packed a
    scratch_step: int
