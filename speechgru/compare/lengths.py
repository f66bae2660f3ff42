"""Does a difference grow with the length of what is said? WER in thirds of the test utterances."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechgru.compare.systems import System, pair_values, same_words
from speechgru.scoring.significance import Comparison, adjust, crossed_bootstrap

Part = NDArray[np.intp]  # places of utterances
ABSOLUTE = ("rate_a", "rate_b", "sentence", "margin")  # say nothing of a difference of differences


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
        of_a, of_b = (_longest_less_shortest(system, parts) for system in (a, b))
        return crossed_bootstrap(of_a, of_b, a.words, a.speakers, margin=0.0, held_out=held_out)

    return {
        "seconds": [[float(seconds[p].min()), float(seconds[p].max())] for p in parts],
        "words": [int(first.words[p].sum()) for p in parts],
        "wer": {
            s.name: [float(s.errors[:, p].sum(1).mean() / s.words[p].sum()) for p in parts]
            for s in everyone
        },
        "pairs_on_longest": _pairs(everyone, on_longest),
        "growth": [
            {key: value for key, value in pair.items() if key not in ABSOLUTE}
            for pair in _pairs(everyone, growth)
        ],
    }


def _longest_less_shortest(system: System, parts: list[Part]) -> NDArray[np.float64]:
    """Weighted errors, (seeds, utterances), whose rate over all words is each seed's WER on the
    longest third minus its WER on the shortest: a contrast to be tested as any other rate.

    An utterance counts by how far its errors lie off what its third's WER lets expect (the ratio's
    linear part: Cochran 1977, "Sampling Techniques", §6.3), and every one holds its share of the
    contrast: a lead that is the same everywhere is no noise when a draw has more long utterances.
    """
    words, everything = system.words, float(system.words.sum())
    counts = np.zeros(system.errors.shape)
    contrast = np.zeros(len(system.errors))
    for part, sign in ((parts[-1], 1.0), (parts[0], -1.0)):
        share = float(words[part].sum())
        rates = system.errors[:, part].sum(1) / share
        residuals = system.errors[:, part] - rates[:, None] * words[part]
        counts[:, part] += sign * everything / share * residuals
        contrast += sign * rates
    return counts + contrast[:, None] * words


def _pairs(
    systems: list[System], compare: Callable[[System, System], Comparison]
) -> list[dict[str, Any]]:
    """Every pair, after Holm over all of them."""
    pairs = list(itertools.combinations(systems, 2))
    comparisons = adjust([compare(a, b) for a, b in pairs])
    return [pair_values(a.name, b.name, c) for (a, b), c in zip(pairs, comparisons, strict=True)]
