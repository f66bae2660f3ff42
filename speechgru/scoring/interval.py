"""The confidence interval of a word error rate, by resampling speakers or utterances."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

DRAWS = 10_000  # of every bootstrap; the 2.5 % point then has a standard error of 0.2 %
LEVEL = 0.05  # of every test; intervals are 1 - LEVEL wide
MIN_SPEAKERS = 5  # fewer do not represent all speakers; utterances are resampled instead

Integers = NDArray[np.integer]
Floats = NDArray[np.float64]


def rate_interval(
    errors: Integers | Floats,
    words: Integers,
    speakers: Sequence[str | None] | None = None,
    draws: int = DRAWS,
    held_out: bool = False,
) -> tuple[tuple[float, float], str]:
    """95 % bootstrap interval of a corpus WER, and the unit resampled: "speaker" or "utterance".

    Units are drawn with replacement and the rate of each draw is summed errors over summed words
    (Bisani & Ney 2004, ICASSP, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation"). The percentiles' distances from the rate are stretched by
    t(n-1) / z · √(n/(n-1)), without which n speakers give too short an interval (Hesterberg 2015,
    The American Statistician 69(4), "What teachers should know about the bootstrap", §5).
    Neither end is closer to the rate than what no error in as many words would leave open,
    1 - 0.025^(1/words): a test set without errors is not a recogniser without errors, nor are units
    of the same rate a certain one. A single unit gives 0 to 1.

    Args:
        errors, words: per utterance, (utterances,); errors may be means over models; words are of
            the reference.
        speakers: (utterances,); used when all are known and there are `MIN_SPEAKERS`.
        held_out: each speaker was scored by a model of its own, so speakers are used however few.
    """
    codes, unit = resampling_units(len(errors), speakers, held_out)
    totals = np.stack([sum_by(codes, errors), sum_by(codes, words)], axis=1)
    n, all_words = len(totals), int(words.sum())
    rate = float(totals[:, 0].sum() / max(all_words, 1))
    if n == 1:
        return (0.0, max(1.0, rate)), unit
    sums = resampled_sums(totals, n, draws, np.random.default_rng(0))
    drawn = sums[:, 0] / np.maximum(sums[:, 1], 1)
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2]) - rate
    stretch = t_quantile(LEVEL, n - 1) / t_quantile(LEVEL, math.inf) * math.sqrt(n / (n - 1))
    least = unseen_rate(all_words)
    below, above = max(least, -stretch * float(low)), max(least, stretch * float(high))
    return (max(0.0, rate - below), min(rate + above, max(1.0, float(drawn.max())))), unit


def resampling_units(
    utterances: int, speakers: Sequence[str | None] | None, held_out: bool = False
) -> tuple[NDArray[np.intp], str]:
    """The unit that each utterance belongs to, (utterances,), and whether units are "speaker" or
    "utterance": whole speakers when all are known and at least `MIN_SPEAKERS`, or held out."""
    fewest = 2 if held_out else MIN_SPEAKERS
    if speakers is not None and None not in speakers and len(set(speakers)) >= fewest:
        return np.unique(np.array(speakers, dtype=str), return_inverse=True)[1], "speaker"
    return np.arange(utterances), "utterance"


def sum_by(codes: NDArray[np.intp], values: Integers | Floats) -> Floats:
    """Sums of values, (utterances,), over the units that `codes` names: (units,)."""
    return np.bincount(codes, weights=values).astype(np.float64)


def resampled_sums(table: Floats, size: int, draws: int, rng: np.random.Generator) -> Floats:
    """Draw `size` rows of table (units, columns) with replacement, sum them: (draws, columns)."""
    units = len(table)
    sums = np.empty((draws, table.shape[1]))
    chunk = max(1, 4_000_000 // max(size, units))  # keeps a chunk's arrays at some 32 MB
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        picks = rng.integers(units, size=(rows, size)) + units * np.arange(rows)[:, None]
        counts = np.bincount(picks.ravel(), minlength=rows * units).reshape(rows, units)
        sums[start : start + rows] = counts @ table
    return sums


def t_tails(t: float, df: float) -> float:
    """P(|T| > t) for Student's t with df degrees of freedom; df = inf: normal distribution."""
    return float(2 * stdtr(df, -abs(t)))


@lru_cache(maxsize=1024)
def t_quantile(p: float, df: float) -> float:
    """The t with P(|T| > t) = p, 0 < p < 1."""
    return float(-stdtrit(df, p / 2))


def unseen_rate(words: int) -> float:
    """The largest rate, at 95 %, of something that did not occur in so many words."""
    return float(1 - (LEVEL / 2) ** (1 / max(words, 1)))
