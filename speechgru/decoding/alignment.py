"""Where in an emission the tokens of a text are."""

import numpy as np

from speechgru.jit import compiled
from speechgru.lm.ngram import Floats, Ints


def align(log_probs: Floats, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """The frame in which each token begins on the best path of tokens and blanks that collapses to
    `tokens` (Graves et al. 2006, section 4.1, with the maximum in place of the sum).

    (frames, vocabulary) → (tokens,). Frames grow, and two equal tokens have a blank between them.
    Empty when there are too few frames for that.
    """
    wanted = np.array(tokens, np.int32)
    found = _viterbi(np.ascontiguousarray(log_probs, np.float32), wanted)
    return tuple(found.tolist())


@compiled
def _viterbi(log_probs: Floats, tokens: Ints) -> Ints:
    """States: a blank, the first token, a blank, the second token, …, a blank."""
    frames, states = len(log_probs), 2 * len(tokens) + 1
    best = np.full(states, -np.inf)
    jump = np.zeros((frames, states), np.int8)  # states back to where the path came from
    for frame in range(frames):
        for state in range(min(states, 2 * frame + 2) - 1, -1, -1):
            token = tokens[state >> 1] if state & 1 else 0
            score = best[state] if frame else (0.0 if state < 2 else -np.inf)
            if frame and state > 0 and best[state - 1] > score:
                score, jump[frame, state] = best[state - 1], 1
            skips = state > 2 and state & 1 and tokens[(state >> 1) - 1] != token
            if frame and skips and best[state - 2] > score:
                score, jump[frame, state] = best[state - 2], 2
            best[state] = score + log_probs[frame, token]
    state = states - 1
    if states > 1 and best[states - 2] > best[states - 1]:
        state = states - 2
    begins = np.zeros(len(tokens), np.int32)
    if frames == 0 or best[state] == -np.inf:
        return begins[:0]
    for frame in range(frames - 1, -1, -1):
        if state & 1:
            begins[state >> 1] = frame
        state -= jump[frame, state]
    return begins
