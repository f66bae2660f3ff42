"""Joining the outputs of two runs of the model that overlap."""

import numpy as np

from speechgru.decoding.emission import Floats
from speechgru.text import Vocabulary

MARGIN = 0.25  # of the overlap at either edge, where one run knows nothing of the other side
TIES = 0.01  # nats per frame away from the middle


def stitch(left: Floats, right: Floats) -> int:
    """Where to change from one run to the other, of their log-probabilities (frames, tokens) of the
    same frames: the frame from which on `right` is used.

    It is where both runs are most certain of a blank, in this frame and the one before, so that no
    token is lost or doubled when the runs place it a frame apart.
    """
    frames = len(left)
    certain = left[:, Vocabulary.blank] + right[:, Vocabulary.blank]
    certain[1:] += certain[:-1].copy()
    away = np.abs(np.arange(frames) - frames / 2)
    certain -= TIES * away
    first = int(MARGIN * frames)
    last = max(first + 1, frames - first)
    return first + int(np.argmax(certain[first:last]))
