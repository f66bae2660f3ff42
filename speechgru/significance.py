"""How far a word error rate can be trusted. (Being written: intervals first, comparisons next.)"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000  # of every bootstrap; the 2.5 % point then has a standard error of 0.2 %
MIN_SPEAKERS = 5  # fewer are too few to stand for all speakers; utterances are resampled instead

Counts = NDArray[np.integer]
Floats = NDArray[np.float64]


def rate_interval(
    errors: Counts,
    words: Counts,
    speakers: Sequence[str | None] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[tuple[float, float], str]:
    """95 % bootstrap interval of a corpus WER, and the unit resampled: "speaker" or "utterance".

    Units are drawn with replacement and the rate of each draw is summed errors over summed words
    (Bisani & Ney 2004, ICASSP, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation"). The percentiles' distances from the rate are stretched by
    t(n-1) / z · √(n/(n-1)), without which n speakers give too short an interval (Hesterberg 2015,
    The American Statistician 69(4), "What teachers should know about the bootstrap", §5).
    The upper end is at least what no error in as many words would leave open, 1 - 0.025^(1/words):
    a faultless test set is not a faultless recogniser. One unit alone says nothing: 0 to 1.

    Args:
        errors, words: per utterance, (utterances,); words are of the reference.
        speakers: (utterances,); used when all are known and there are `MIN_SPEAKERS`.
    """
    codes, unit = resampling_units(len(errors), speakers)
    totals = np.stack([sum_by(codes, errors), sum_by(codes, words)], axis=1)
    n = len(totals)
    rate = float(totals[:, 0].sum() / max(totals[:, 1].sum(), 1))
    if n == 1:
        return (0.0, max(1.0, rate)), unit
    sums = resampled_sums(totals, n, draws, np.random.default_rng(seed))
    low, high = np.quantile(sums[:, 0] / np.maximum(sums[:, 1], 1), [0.025, 0.975])
    stretch = t_quantile(0.05, n - 1) / t_quantile(0.05, math.inf) * math.sqrt(n / (n - 1))
    unseen = 1 - 0.025 ** (1 / max(int(words.sum()), 1))
    return (
        max(0.0, rate + stretch * (float(low) - rate)),
        max(unseen, rate + stretch * (float(high) - rate)),
    ), unit


def resampling_units(
    utterances: int, speakers: Sequence[str | None] | None
) -> tuple[NDArray[np.intp], str]:
    """Which unit each utterance belongs to, (utterances,), and whether that is "speaker" or
    "utterance": whole speakers when all are known and at least `MIN_SPEAKERS`."""
    if speakers is not None and None not in speakers and len(set(speakers)) >= MIN_SPEAKERS:
        return np.unique(np.array(speakers, dtype=str), return_inverse=True)[1], "speaker"
    return np.arange(utterances), "utterance"


def sum_by(codes: NDArray[np.intp], values: Counts) -> Floats:
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
    """P(|T| > t) for Student's t with df degrees of freedom; df = inf is the normal law.

    P = I(df / (df + t²); df/2, 1/2), the regularised incomplete beta function (DLMF 8.17), here
    by its continued fraction 8.17.22, evaluated with Lentz's method.
    """
    t = abs(t)
    if df > 1e6:
        return math.erfc(t / math.sqrt(2))
    if t == 0:
        return 1.0
    return _incomplete_beta(df / (df + t * t), df / 2, 0.5)


def t_quantile(p: float, df: float) -> float:
    """The t with P(|T| > t) = p, by bisection; 0 < p < 1."""
    low, high = 0.0, 1.0
    while t_tails(high, df) > p:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tails(middle, df) > p else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only below
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) - math.log(a)
    log_front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    # 1 / (1 + d1/(1 + d2/(1 + …))), d_{2m} and d_{2m+1} as in DLMF 8.17.23
    c, d, fraction = 1.0, 1.0 / (1 - (a + b) / (a + 1) * x), 1.0 / (1 - (a + b) / (a + 1) * x)
    for m in range(1, 10_000):
        even = m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m)) * x
        d, c = 1 / (1 + even * d), 1 + even / c
        fraction *= c * d
        odd = -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1)) * x
        d, c = 1 / (1 + odd * d), 1 + odd / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return math.exp(log_front) * fraction
