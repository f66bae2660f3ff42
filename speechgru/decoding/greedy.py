"""Best-path decoding."""

import numpy as np

from speechgru.decoding.emission import Emission
from speechgru.decoding.hypothesis import Hypothesis
from speechgru.text import Vocabulary


class Greedy:
    """The best token of each frame, repeats merged, then blanks removed (Graves et al. 2006,
    "Connectionist temporal classification", section 3.2, "best path decoding").

    >>> greedy = Greedy(Vocabulary.from_texts(["ab"]))         # <blank>, " ", a, b
    >>> best = [2, 2, 0, 2, 3]                                 # a a – a b
    >>> greedy(Emission(-2 + np.eye(4, dtype=np.float32)[best], seconds_per_frame=0.04))
    Hypothesis(tokens=(2, 2, 3), frames=(0, 3, 4), score=-5.0)
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.blank = vocabulary.blank

    def __str__(self) -> str:
        return "greedy"

    def __call__(self, emission: Emission) -> Hypothesis:
        log_probs = emission.log_probs
        best = log_probs.argmax(axis=1)
        starts = np.flatnonzero(np.diff(best, prepend=-1))  # of runs of one token
        starts = starts[best[starts] != self.blank]
        score = log_probs.max(axis=1).sum(dtype=np.float64)
        return Hypothesis(tuple(best[starts].tolist()), tuple(starts.tolist()), float(score))
