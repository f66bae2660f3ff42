"""Where in an emission the tokens of a text are.

Design choices:
- Viterbi with checkpoints: the scores of all states are kept at some frames only, and the path is
  found block by block from the end, computing each block again. This takes twice the time, and
  memory for hours of audio (the blocks are chosen for at most about CHECKPOINT_BYTES).
- Where the table is large, states that are MARGIN nats worse than the best of their frame are
  dropped. If no path is left, the search is repeated without.
"""

import math

import numpy as np
import numpy.typing as npt

from speechgru.jit import compiled
from speechgru.lm.ngram import Doubles, Floats, Ints

Jumps = npt.NDArray[np.int8]
STAR = -1  # a token that is as probable as the best one of each frame
CHECKPOINT_BYTES = 50_000_000
EXACT_CELLS = 100_000_000  # frames × states up to which nothing is dropped
MARGIN = 2000.0


def align(log_probs: Floats, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """The frame in which each token begins on the best path of tokens and blanks that collapses to
    `tokens` (Graves et al. 2006, section 4.1, with the maximum in place of the sum).

    (frames, vocabulary) → (tokens,). Frames grow, and two equal tokens have a blank between them.
    STAR may be among the tokens. Empty when there are too few frames.
    """
    rows, wanted = np.ascontiguousarray(log_probs, np.float32), np.array(tokens, np.int32)
    frames, states = len(rows), 2 * len(wanted) + 1
    if frames == 0:
        return ()
    every = max(math.isqrt(frames), math.ceil(8 * frames * states / CHECKPOINT_BYTES))
    margin = np.inf if frames * states <= EXACT_CELLS else MARGIN
    found = _viterbi(rows, wanted, every, margin)
    if not len(found) and margin < np.inf:
        found = _viterbi(rows, wanted, every, np.inf)
    return tuple(found.tolist())


def _viterbi(rows: Floats, tokens: Ints, every: int, margin: float) -> Ints:
    """States: a blank, the first token, a blank, the second token, …, a blank."""
    frames, states = len(rows), 2 * len(tokens) + 1
    starts = range(0, frames, every)
    saved = np.empty((len(starts), states))
    windows = np.zeros((frames, 2), np.int32)  # states that are computed in each frame
    best = np.full(states, -np.inf)
    any_jumps = np.zeros((1, states), np.int8)
    for block, first in enumerate(starts):
        saved[block] = best
        part = slice(first, first + every)
        _forward(rows[part], tokens, first, margin, best, windows, any_jumps)
    begins = np.zeros(len(tokens), np.int32)
    state = states - 1
    if states > 1 and best[states - 2] > best[states - 1]:
        state = states - 2
    if best[state] == -np.inf:
        return begins[:0]
    for block, first in reversed(list(enumerate(starts))):
        part = slice(first, first + every)
        widest = int((windows[part, 1] - windows[part, 0]).max())
        jumps = np.zeros((len(rows[part]), widest), np.int8)
        _forward(rows[part], tokens, first, margin, saved[block], windows, jumps)
        state = _trace(jumps, windows[part], first, state, begins)
    return begins


@compiled
def _forward(
    rows: Floats,
    tokens: Ints,
    first: int,
    margin: float,
    best: Doubles,
    windows: Ints,
    jumps: Jumps,
) -> None:
    """The scores after the frames `rows`, from those before them. `first` is the number of their
    first one. A jump is how many states back the path to a state comes from; with one row, `jumps`
    has those of the last frame only."""
    states = len(best)
    low, high = 0, 0
    if first > 0:  # the range that the frame before left
        low, high = windows[first - 1, 0], windows[first - 1, 1]
        while low < high - 1 and best[low] == -np.inf:
            low += 1
        while high - 1 > low and best[high - 1] == -np.inf:
            high -= 1
    for i in range(len(rows)):
        high = min(states, high + 2)
        windows[first + i, 0], windows[first + i, 1] = low, high
        largest, top = rows[i].max(), -np.inf
        row = jumps[i % len(jumps)]
        for state in range(high - 1, low - 1, -1):
            token = tokens[state >> 1] if state & 1 else 0
            score, jump = best[state], 0
            if first + i == 0:
                score = 0.0
            elif state > 0:
                if best[state - 1] > score:
                    score, jump = best[state - 1], 1
                skips = state > 2 and state & 1 and tokens[(state >> 1) - 1] != token
                if skips and best[state - 2] > score:
                    score, jump = best[state - 2], 2
            best[state] = score + (largest if token < 0 else rows[i, token])
            row[state - low] = jump
            top = max(top, best[state])
        while low < high - 1 and best[low] < top - margin:
            best[low] = -np.inf
            low += 1
        while high - 1 > low and best[high - 1] < top - margin:
            best[high - 1] = -np.inf
            high -= 1


@compiled
def _trace(jumps: Jumps, windows: Ints, first: int, state: int, begins: Ints) -> int:
    """Back through a block of frames from `state` at its end: writes the beginnings of tokens and
    returns the state at the end of the block before."""
    for i in range(len(windows) - 1, -1, -1):
        if state & 1:
            begins[state >> 1] = first + i
        state -= jumps[i, state - windows[i, 0]]
    return state
