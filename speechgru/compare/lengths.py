"""Does a difference grow with the length of what is said? WER in thirds of the test utterances."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechgru.compare.systems import System, pair_values, same_words
from speechgru.significance import Comparison, adjust, crossed_bootstrap

Part = NDArray[np.intp]  # places of utterances


def by_length(systems: dict[str, System], held_out: bool) -> dict[str, Any] | None:
    """Bounds in seconds, words and WER of every system in every third; the pairs on the longest
    third; and their growth from the shortest third to the longest.

    None when there is nothing to cut: fewer than six utterances, systems that read different
    words, or a third without words.
    """
    everyone = list(systems.values())
    if not everyone or len(everyone[0].ids) < 6:
        return None
    first = everyone[0]
    if not all(same_words(first, other) for other in everyone):
        return None
    seconds = np.array(first.seconds)
    parts = [np.sort(p) for p in np.array_split(np.argsort(seconds, kind="stable"), 3)]
    if not all(first.words[part].sum() for part in parts):
        return None

    def on_longest(a: System, b: System) -> Comparison:
        longest = parts[-1]
        speakers = [a.speakers[place] for place in longest]
        return crossed_bootstrap(
            a.errors[:, longest], b.errors[:, longest], a.words[longest], speakers,
            held_out=held_out,
        )  # fmt: skip

    def growth(a: System, b: System) -> Comparison:
        signs = _longest_less_shortest(parts, first.words)
        return crossed_bootstrap(
            a.errors * signs, b.errors * signs, a.words, a.speakers, margin=0.0, held_out=held_out
        )

    return {
        "seconds": [[float(seconds[p].min()), float(seconds[p].max())] for p in parts],
        "words": [int(first.words[p].sum()) for p in parts],
        "wer": {
            s.name: [float(s.errors[:, p].sum(1).mean() / s.words[p].sum()) for p in parts]
            for s in everyone
        },
        "pairs_on_longest": _pairs(everyone, on_longest),
        "growth": _pairs(everyone, growth),
    }


def _longest_less_shortest(parts: list[Part], words: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each utterance's errors count, (utterances,), so that the rate over all words comes out
    as WER on the longest third minus WER on the shortest: a contrast, whose differences between
    systems can be tested as any other rate's."""
    signs = np.zeros(len(words))
    signs[parts[-1]] = words.sum() / words[parts[-1]].sum()
    signs[parts[0]] = -words.sum() / words[parts[0]].sum()
    return signs


def _pairs(
    systems: list[System], compare: Callable[[System, System], Comparison]
) -> list[dict[str, Any]]:
    """Every pair, after Holm over all of them."""
    pairs = list(itertools.combinations(systems, 2))
    comparisons = adjust([compare(a, b) for a, b in pairs])
    return [pair_values(a.name, b.name, c) for (a, b), c in zip(pairs, comparisons, strict=True)]
