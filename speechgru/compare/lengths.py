"""Does a difference grow with the length of what is said? WER in thirds of the test utterances."""

import itertools
from typing import Any

import numpy as np

from speechgru.compare.systems import System, pair_values, same_words
from speechgru.significance import adjust, crossed_bootstrap

THIRDS = ("shortest", "middle", "longest")


def by_length(systems: dict[str, System], held_out: bool) -> dict[str, Any] | None:
    """Bounds in seconds, WER of every system in every third, and the pairs on the longest third.

    None when there is nothing to cut: fewer than six utterances, or systems that read different
    words.
    """
    everyone = list(systems.values())
    if not everyone or len(everyone[0].ids) < 6:
        return None
    first = everyone[0]
    if not all(same_words(first, other) for other in everyone):
        return None
    seconds = np.array(first.seconds)
    order = np.argsort(seconds, kind="stable")
    parts = np.array_split(order, 3)
    return {
        "seconds": [[float(seconds[p].min()), float(seconds[p].max())] for p in parts],
        "words": [int(first.words[p].sum()) for p in parts],
        "wer": {
            s.name: [float(s.errors[:, p].sum(1).mean() / max(s.words[p].sum(), 1)) for p in parts]
            for s in everyone
        },
        "pairs_on_longest": _pairs(everyone, np.sort(parts[-1]), held_out),
    }


def _pairs(
    systems: list[System], part: np.ndarray[Any, np.dtype[np.intp]], held_out: bool
) -> list[dict[str, Any]]:
    pairs = list(itertools.combinations(systems, 2))
    comparisons = [
        crossed_bootstrap(
            a.errors[:, part],
            b.errors[:, part],
            a.words[part],
            [a.speakers[i] for i in part],
            held_out=held_out,
        )
        for a, b in pairs
        if a.words[part].sum()
    ]
    return [
        pair_values(a.name, b.name, c)
        for (a, b), c in zip(pairs, adjust(comparisons), strict=False)
    ]
