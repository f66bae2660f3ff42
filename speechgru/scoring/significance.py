"""How far a word error rate, or a difference between two, can be trusted.

Design choices
- The question is what would happen with other speakers (or utterances) of the same kind and, where
  several seeds were trained, with other seeds. So both are resampled, *crossed*: one draw of
  speakers serves all seeds and both systems. Drawing speakers anew for each seed, or seeds anew for
  each speaker, treats one of the two as far more certain than it is.
- With 2 to 5 seeds plain percentiles are no interval at all. The draws give a standard error, free
  of the two biases described at `crossed_bootstrap`, and Student's t does the rest. The choice was
  made by simulation: benchmarks/significance_simulation.py, docs/results/.
- Two or three seeds may agree by chance, and then the utterances' many degrees of freedom would
  speak for the seeds too. So a difference must also stand against the seeds alone (Welch's test).
- Rates and differences are fractions (0.01 is one point of WER); text shows per cent.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from speechgru.errors import ScoringError

DRAWS = 10_000  # of every bootstrap; the 2.5 % point then has a standard error of 0.2 %
LEVEL = 0.05  # of every test; intervals are 1 - LEVEL wide
POWER = 0.80  # with which the minimum detectable difference would be found
MIN_SPEAKERS = 5  # fewer are too few to stand for all speakers; utterances are resampled instead

Counts = NDArray[np.integer]
Floats = NDArray[np.float64]


def rate_interval(
    errors: Counts | Floats,
    words: Counts,
    speakers: Sequence[str | None] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    held_out: bool = False,
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
        errors, words: per utterance, (utterances,); errors may be means over models; words are of
            the reference.
        speakers: (utterances,); used when all are known and there are `MIN_SPEAKERS`.
        held_out: each speaker was read by a model of its own, so speakers are used however few.
    """
    codes, unit = resampling_units(len(errors), speakers, held_out)
    totals = np.stack([sum_by(codes, errors), sum_by(codes, words)], axis=1)
    n, all_words = len(totals), int(words.sum())
    rate = float(totals[:, 0].sum() / max(all_words, 1))
    if n == 1:
        return (0.0, max(1.0, rate)), unit
    sums = resampled_sums(totals, n, draws, np.random.default_rng(seed))
    drawn = sums[:, 0] / np.maximum(sums[:, 1], 1)
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2]) - rate
    stretch = t_quantile(LEVEL, n - 1) / t_quantile(LEVEL, math.inf) * math.sqrt(n / (n - 1))
    return (
        max(0.0, rate + stretch * float(low)),
        min(max(_unseen(all_words), rate + stretch * float(high)), max(1.0, float(drawn.max()))),
    ), unit


@dataclass(frozen=True, slots=True)
class Law:
    """Student's t of a difference with this standard error (0: nothing stands against it)."""

    error: float
    df: float

    def p(self, difference: float) -> float:
        return t_tails(difference / self.error, self.df) if self.error else 0.0

    def half_width(self) -> float:
        return t_quantile(LEVEL, self.df) * self.error

    def detectable(self, level: float) -> float:
        """The true difference that a test at this level finds with a chance of POWER."""
        return (t_quantile(level, self.df) + t_quantile(2 * (1 - POWER), self.df)) * self.error


@dataclass(frozen=True, slots=True)
class Comparison:
    """System A against system B: the figures of `crossed_bootstrap`."""

    rate_a: float  # WER (or CER), mean over A's seeds
    rate_b: float
    difference: float  # rate_a - rate_b: negative when A makes fewer errors
    ci95: tuple[float, float]  # of the difference; never adjusted for other pairs
    p: float  # two-sided, for "no difference": the larger of p_crossed and p_seeds
    p_adjusted: float  # p after Holm over several pairs (`adjust`)
    laws: tuple[Law, Law]  # of the crossed bootstrap, and of the seeds alone
    from_seeds: float  # share of the crossed bootstrap's variance that the seeds account for
    minimum_detectable: float  # the true difference that such a test finds 8 times in 10
    margin: float  # what is too small to matter: the x of "equivalent within x"
    unit: str  # "speaker" or "utterance"
    units: int
    seeds: tuple[int, int]  # trained models of A and of B
    held_out: bool = False  # so many for each speaker, who was held out of their training

    @property
    def p_crossed(self) -> float:
        """Of the crossed bootstrap."""
        return self.laws[0].p(self.difference)

    @property
    def p_seeds(self) -> float:
        """Of Welch's test of the seeds' rates alone; 0 where it has no say."""
        return self.laws[1].p(self.difference)

    @property
    def verdict(self) -> str:
        """What may be said of A: "better", "worse", "equivalent" (the whole interval lies within
        the margin) or "no difference shown" (which is not "equal")."""
        if self.p_adjusted < LEVEL:
            return "better" if self.difference < 0 else "worse"
        if max(abs(self.ci95[0]), abs(self.ci95[1])) <= self.margin:
            return "equivalent"
        return "no difference shown"

    def sentence(self, a: str = "A", b: str = "B", measure: str = "WER") -> str:
        """The verdict in words, with its figures and how far it reaches. `measure`: what the rates
        are."""
        low, high = (_points(end) for end in self.ci95)
        verdict = {
            "better": f"{a} is better than {b}",
            "worse": f"{a} is worse than {b}",
            "equivalent": f"{a} and {b} are equivalent within {100 * self.margin:.2f} points",
            "no difference shown": f"no difference shown between {a} and {b}",
        }[self.verdict]
        adjusted = "" if self.p_adjusted == self.p else f" ({p_text(self.p_adjusted)} after Holm)"
        return (
            f"{verdict}: {measure} {100 * self.rate_a:.2f} % against {100 * self.rate_b:.2f} %, "
            f"{_points(self.difference)} points, 95 % interval {low} to {high}, "
            f"{p_text(self.p)}{adjusted}; {self.reach()}"
        )

    def reach(self) -> str:
        """Over what the figures generalise, and over what they do not."""
        units = f"{self.units} {self.unit}s"
        if self.held_out and self.unit == "speaker":
            models = "a model" if set(self.seeds) == {1} else f"{_seeds(self.seeds)} models"
            alone = "; with one seed, another may differ" if min(self.seeds) == 1 else ""
            return f"over {units}, each read by {models} trained without them{alone}"
        if self.unit == "utterance":
            units += " (of these speakers)"
        if self.seeds == (1, 1):
            return f"over {units} only: with one trained model a side, other seeds may differ"
        if min(self.seeds) == 1:
            return (
                f"over {units} and, on one side, {max(self.seeds)} seeds: the other side is one "
                "trained model, and how others of it would differ is in no figure"
            )
        few = " (too few to know much of other seeds)" if min(self.seeds) == 2 else ""
        return f"over {units} and {_seeds(self.seeds)} seeds{few}"

    def to_json(self) -> dict[str, Any]:
        """Every field, and the verdict, as plain JSON values."""
        values = {name: value for name, value in asdict(self).items() if name != "laws"}
        return values | {
            "p_crossed": self.p_crossed,
            "p_seeds": self.p_seeds,
            "standard_error": self.laws[0].error,
            "degrees_of_freedom": self.laws[0].df,
            "ci95": list(self.ci95),
            "seeds": list(self.seeds),
            "verdict": self.verdict,
        }


def crossed_bootstrap(
    errors_a: Counts | Floats,
    errors_b: Counts | Floats,
    words: Counts,
    speakers: Sequence[str | None] | None = None,
    margin: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    held_out: bool = False,
) -> Comparison:
    """Compare two systems' corpus WER, seeds and speakers (or utterances) both being samples.

    Each draw takes n - 1 of the n units with replacement, the same for every seed and both systems,
    and S - 1 of each system's S seeds: n - 1 because n of n underestimates the variance by
    (n - 1)/n, which is a third of it at 3 seeds (Rao & Wu 1988, JASA 83, "Resampling inference
    with complex survey data"). The draw's difference then splits into what the units alone did,
    what the seeds alone did, and what only both together did:

        d* = d + u* + s* + i*       SE² = var(u*) + var(s*) - var(i*)

    since u* and s* each hold the seed-by-unit noise once already, and the plain crossed bootstrap,
    var(u* + s* + i*), would count it three times (Owen 2007, Annals of Applied Statistics 1, "The
    pigeonhole bootstrap"; SE² as in Cameron, Gelbach & Miller 2011, JBES 29, "Robust inference
    with multiway clustering"). SE² is no less than var(u*) or var(s*). The degrees of freedom are
    Satterthwaite's; p and interval are Student's t of d/SE.

    Against seeds that agree by chance, p is no smaller, the interval no narrower and the detectable
    difference no less than by Welch's t test of the seeds' rates alone. From three seeds on this
    changes little; with two, it is the price of knowing hardly anything about seeds. Where every
    speaker was read by models of its own, seeds cannot agree by chance on all of them, and that
    test has no say.

    Seeds are drawn for each system by itself: seed 3 of a GRU has nothing in common with seed 3 of
    an LSTM but a number. Where they do share something, this errs on the careful side.
    No interval is narrower than what no error in as many words would leave open, as in
    `rate_interval`: identical output on a small test set does not prove two systems equal.

    Args:
        errors_a, errors_b: word errors, (seeds, utterances), or (utterances,) for one model; may
            be weighted, so that the rate is a contrast between some utterances and others.
        words: of the reference, (utterances,); or both of characters, for CER.
        speakers: (utterances,); units are whole speakers when all are known and there are
            `MIN_SPEAKERS`.
        margin: the difference too small to matter; a tenth of the two systems' mean WER if None.
        held_out: every speaker was read by models trained without that speaker (one a seed), so
            speakers are the units, however few. A seed's models begin with the same weights and
            may share luck: so much of var(s*) as exceeds its var(i*) is added to var(u*), which
            holds the luck that they do not share.

    Raises:
        ScoringError: arrays of different length, fewer than two utterances, no reference words.
    """
    a, b = np.atleast_2d(errors_a), np.atleast_2d(errors_b)
    lengths = [a.shape[1], b.shape[1], len(words), len(words if speakers is None else speakers)]
    if len(set(lengths)) > 1:
        raise ScoringError(
            "a paired test needs the same utterances; got errors of {} and {}, words of {} and "
            "speakers of {} utterances".format(*lengths)
        )
    all_words = int(words.sum())
    if len(words) < 2 or all_words == 0:
        raise ScoringError(
            f"got {len(words)} utterances with {all_words} reference words; "
            "a comparison needs at least two utterances with words in them"
        )
    codes, unit = resampling_units(len(words), speakers, held_out)
    table = np.stack([sum_by(codes, column) for column in (*a, *b, words)], axis=1)
    units = len(table)
    rates = table[:, :-1].sum(0) / all_words  # of every seed, A's then B's
    side_a, side_b = slice(None, len(a)), slice(len(a), None)

    rng = np.random.default_rng(seed)
    sums = resampled_sums(table, units - 1, draws, rng)
    drawn = sums[:, :-1] / np.maximum(sums[:, -1:], 1)
    of_a = _split(drawn[:, side_a], rates[side_a], rng)
    of_b = _split(drawn[:, side_b], rates[side_b], rng)
    by_units = float(np.var(of_a[0] - of_b[0]))
    by_seeds = [float(np.var(of_a[1])), float(np.var(of_b[1]))]
    by_both = float(np.var(of_a[2] - of_b[2]))

    variance = max(by_units + sum(by_seeds) - by_both, by_units, sum(by_seeds))
    apart = held_out and unit == "speaker"
    if apart:
        sides = zip(by_seeds, (of_a, of_b), strict=True)
        by_seeds = [max(0.0, own - float(np.var(parts[2]))) for own, parts in sides]
        variance = by_units + sum(by_seeds)
    parts = zip([by_units, *by_seeds], [units - 1, len(a) - 1, len(b) - 1], strict=True)
    t = t_quantile(LEVEL, df := _satterthwaite(variance, [part for part in parts if part[0] > 0]))
    error = max(math.sqrt(variance), _unseen(all_words) / t)

    rate_a, rate_b = float(rates[side_a].mean()), float(rates[side_b].mean())
    difference = rate_a - rate_b
    crossed = Law(error, df)
    alone = Law(0.0, math.inf) if apart else _seeds_alone(rates[side_a], rates[side_b])
    half = max(law.half_width() for law in (crossed, alone))
    p = max(law.p(difference) for law in (crossed, alone))
    return Comparison(
        rate_a=rate_a,
        rate_b=rate_b,
        difference=difference,
        ci95=(difference - half, difference + half),
        p=p,
        p_adjusted=p,
        laws=(crossed, alone),
        from_seeds=min(1.0, sum(by_seeds) / variance) if variance else 0.0,
        minimum_detectable=max(law.detectable(LEVEL) for law in (crossed, alone)),
        margin=(rate_a + rate_b) / 20 if margin is None else margin,
        unit=unit,
        units=units,
        seeds=(len(a), len(b)),
        held_out=held_out,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the chance of any false "different" among all stays below the
    level (Holm 1979, Scandinavian Journal of Statistics 6). In the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with `p_adjusted`, and with it the verdict, after Holm over them all,
    and the difference that is found even as the first of them."""
    adjusted = holm([comparison.p for comparison in comparisons])
    level = LEVEL / max(len(comparisons), 1)
    return [
        replace(c, p_adjusted=p, minimum_detectable=max(law.detectable(level) for law in c.laws))
        for c, p in zip(comparisons, adjusted, strict=True)
    ]


def resampling_units(
    utterances: int, speakers: Sequence[str | None] | None, held_out: bool = False
) -> tuple[NDArray[np.intp], str]:
    """Which unit each utterance belongs to, (utterances,), and whether that is "speaker" or
    "utterance": whole speakers when all are known and at least `MIN_SPEAKERS`, or held out."""
    fewest = 2 if held_out else MIN_SPEAKERS
    if speakers is not None and None not in speakers and len(set(speakers)) >= fewest:
        return np.unique(np.array(speakers, dtype=str), return_inverse=True)[1], "speaker"
    return np.arange(utterances), "utterance"


def sum_by(codes: NDArray[np.intp], values: Counts | Floats) -> Floats:
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
    """P(|T| > t) for Student's t with df degrees of freedom; df = inf is the normal law."""
    return float(2 * stdtr(df, -abs(t)))


@lru_cache(maxsize=1024)
def t_quantile(p: float, df: float) -> float:
    """The t with P(|T| > t) = p, 0 < p < 1."""
    return float(-stdtrit(df, p / 2))


def _split(drawn: Floats, rates: Floats, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """One system's draws, (draws,) each: what units alone, seeds alone, and only both changed.

    Args:
        drawn: WER of every seed on every draw of units, (draws, seeds).
        rates: WER of every seed on all units, (seeds,).
    """
    draws, seeds = drawn.shape
    by_units = drawn.mean(1) - rates.mean()
    if seeds == 1:
        return by_units, np.zeros(draws), np.zeros(draws)
    weights = rng.multinomial(seeds - 1, [1 / seeds] * seeds, size=draws) / (seeds - 1)
    by_seeds = weights @ rates - rates.mean()
    return by_units, by_seeds, (weights * drawn).sum(1) - rates.mean() - by_units - by_seeds


def _seeds_alone(rates_a: Floats, rates_b: Floats) -> Law:
    """Welch's t test of the seeds' rates, (seeds,) each (Welch 1947, Biometrika 34). A side whose
    seeds agree to the last error adds nothing, so that of two such sides it has no say."""
    parts = [(float(r.var(ddof=1)) / len(r), len(r) - 1) for r in (rates_a, rates_b) if len(r) > 1]
    parts = [part for part in parts if part[0] > 0]
    variance = sum(part[0] for part in parts)
    return Law(math.sqrt(variance), _satterthwaite(variance, parts))


def _satterthwaite(variance: float, parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a variance with parts of (variance, degrees of freedom) each, no fewer
    than the poorest part has."""
    if not parts:
        return math.inf
    df = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    return max(df, min(freedom for _, freedom in parts))


def _unseen(words: int) -> float:
    """The largest rate, at 95 %, of something that none of so many words showed."""
    return float(1 - (LEVEL / 2) ** (1 / max(words, 1)))


def _seeds(counts: tuple[int, int]) -> str:
    return str(counts[0]) if len(set(counts)) == 1 else "{} and {}".format(*counts)


def _points(difference: float) -> str:
    return signed(100 * difference)


def signed(value: float) -> str:
    """Two digits and always a sign, the minus as long as the plus."""
    return f"{value:+.2f}".replace("-", "−")


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
