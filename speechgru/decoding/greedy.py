"""Best-path decoding."""

import numpy as np
import numpy.typing as npt


def greedy(log_probs: npt.NDArray[np.float32], blank: int = 0) -> list[int]:
    """The best token of each frame, repeats merged, then blanks removed (Graves et al. 2006,
    "Connectionist temporal classification", section 3.2, "best path decoding").

    (frames, vocabulary) → token indices.

    >>> frames = np.array([[0, 1], [0, 1], [1, 0], [0, 1]], np.float32)  # a a – a
    >>> greedy(frames)
    [1, 1]
    """
    best = log_probs.argmax(axis=1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    return [int(token) for token in best[starts] if token != blank]
