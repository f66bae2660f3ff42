"""Best-path decoding."""

import math

import numpy as np
import numpy.typing as npt

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
        search = self.start()
        search.feed(emission.log_probs)
        return self.finish(search, emission)

    def start(self) -> "GreedySearch":
        """A search that is fed piece by piece."""
        return GreedySearch(self.blank)

    def finish(self, search: "GreedySearch", emission: Emission) -> Hypothesis:
        """The result of a search that was fed the emission."""
        return search.nbest(1)[0]


class GreedySearch:
    """The best path, kept from one piece of an emission to the next."""

    def __init__(self, blank: int) -> None:
        self.blank, self.last, self.length = blank, -1, 0
        self.tokens: list[int] = []
        self.frames: list[int] = []
        self.score = 0.0

    def feed(self, log_probs: npt.NDArray[np.float32]) -> None:
        """Search through the next frames, (frames, vocabulary)."""
        if not len(log_probs):
            return
        best = log_probs.argmax(axis=1)
        starts = np.flatnonzero(np.diff(best, prepend=self.last))  # of runs of one token
        starts = starts[best[starts] != self.blank]
        self.tokens += best[starts].tolist()
        self.frames += (self.length + starts).tolist()
        self.last, self.length = int(best[-1]), self.length + len(best)
        self.score = math.fsum([self.score, *log_probs.max(axis=1).tolist()])

    def nbest(self, n: int) -> list[Hypothesis]:
        """The best path, if the utterance ends here."""
        return [Hypothesis(tuple(self.tokens), tuple(self.frames), self.score)]
