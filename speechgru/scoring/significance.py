"""Is one system's word error rate lower than another's? A paired bootstrap.

Design choices
- The question is what would happen with other speakers (or utterances) of the same kind and, where
  several seeds were trained, with other seeds. So both are resampled, *crossed*: one draw of
  speakers serves all seeds and both systems. Drawing speakers anew for each seed, or seeds anew for
  each speaker, treats one of the two as far more certain than it is.
- With 2 to 5 seeds plain percentiles are no interval at all. The draws give a standard error, free
  of the two biases described below, and Student's t does the rest. The choice was made by
  simulation: benchmarks/significance_simulation.py, docs/results/.
- Two or three seeds may agree by chance, and the utterances' many degrees of freedom would then
  count for the seeds too. So a difference must also be significant over the seeds alone (Welch).
- Rates and differences are fractions (0.01 is one point of WER); text shows per cent.

The crossed bootstrap
---------------------
Each draw takes n - 1 of the n units (speakers or utterances) with replacement, the same for every
seed and both systems, and S - 1 of each system's S seeds: n - 1 because n of n underestimates the
variance by (n - 1)/n, which is a third of it at 3 seeds (Rao & Wu 1988, JASA 83, "Resampling
inference with complex survey data"). The draw's difference then splits into what the units alone
changed, what the seeds alone changed, and what only both together changed:

    d* = d + u* + s* + i*       SE² = var(u*) + var(s*) - var(i*)

since u* and s* each contain the seed-by-unit noise once already, and the plain crossed bootstrap,
var(u* + s* + i*), would count it three times (Owen 2007, Annals of Applied Statistics 1, "The
pigeonhole bootstrap"; SE² as in Cameron, Gelbach & Miller 2011, JBES 29, "Robust inference with
multiway clustering"). SE² is no less than var(u*) or var(s*). The degrees of freedom are
Satterthwaite's; p and interval are Student's t of d/SE.

Because seeds may agree by chance, p is no smaller, the interval no narrower and the detectable
difference no less than by Welch's t test of the seeds' rates alone. From three seeds on this
changes little; with two, it is the price of knowing hardly anything about seeds.

Seeds are drawn for each system separately: seed 3 of a GRU has nothing in common with seed 3 of an
LSTM but a number. Where they do share something, this errs on the conservative side.

Leave-one-speaker-out (`held_out`): every speaker is scored by models of its own, trained without
that speaker, so speakers are the units, however few. Seeds cannot agree by chance on all of them,
and Welch's test is not applied. A seed's models begin with the same weights and may share luck: the
part of var(s*) that exceeds its var(i*) is added to var(u*), which contains the luck that they do
not share.

No interval is narrower than what no error in as many words would leave open, 1 - 0.025^(1/words):
identical output on a small test set does not prove two systems equal.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechgru.errors import ScoringError
from speechgru.files import Json
from speechgru.scoring.interval import (
    DRAWS,
    LEVEL,
    Floats,
    Integers,
    resampled_sums,
    resampling_units,
    sum_by,
    t_quantile,
    t_tails,
    unseen_rate,
)

POWER = 0.80  # with which the minimum detectable difference would be found


@dataclass(frozen=True, slots=True)
class StandardError:
    """Of a difference, with the degrees of freedom of its Student's t. A value of 0 tests nothing:
    any difference is significant."""

    value: float
    df: float

    def p(self, difference: float) -> float:
        return t_tails(difference / self.value, self.df) if self.value else 0.0

    def half_width(self) -> float:
        return t_quantile(LEVEL, self.df) * self.value

    def detectable(self, level: float) -> float:
        """The true difference that a test at this level finds with probability POWER."""
        return (t_quantile(level, self.df) + t_quantile(2 * (1 - POWER), self.df)) * self.value


@dataclass(frozen=True, slots=True)
class Comparison:
    """System A against system B: the figures of `crossed_bootstrap`."""

    rate_a: float  # WER (or CER), mean over A's seeds
    rate_b: float
    difference: float  # rate_a - rate_b: negative when A makes fewer errors
    ci95: tuple[float, float]  # of the difference; never adjusted for other pairs
    p: float  # two-sided, for "no difference": the larger of p_crossed and p_seeds
    p_adjusted: float  # p after Holm over several pairs (`adjust`)
    crossed: StandardError  # of the crossed bootstrap
    seeds_alone: StandardError  # of Welch's test of the seeds' rates; 0 where it does not apply
    from_seeds: float  # share of the crossed bootstrap's variance that is due to the seeds
    minimum_detectable: float  # the true difference that such a test finds 8 times in 10
    margin: float  # the largest difference too small to matter: the x of "equivalent within x"
    unit: str  # "speaker" or "utterance"
    units: int
    seeds: tuple[int, int]  # trained models of A and of B
    held_out: bool = False  # that many for each speaker, trained without the speaker

    @property
    def p_crossed(self) -> float:
        return self.crossed.p(self.difference)

    @property
    def p_seeds(self) -> float:
        return self.seeds_alone.p(self.difference)

    @property
    def verdict(self) -> str:
        """Of A: "better", "worse", "equivalent" (the whole interval is within the margin) or
        "no difference shown" (which is not "equal")."""
        if self.p_adjusted < LEVEL:
            return "better" if self.difference < 0 else "worse"
        if max(abs(self.ci95[0]), abs(self.ci95[1])) <= self.margin:
            return "equivalent"
        return "no difference shown"

    def sentence(self, a: str = "A", b: str = "B") -> str:
        """The verdict in words, with the WERs and what they generalise to."""
        low, high = (signed_points(end) for end in self.ci95)
        verdict = {
            "better": f"{a} is better than {b}",
            "worse": f"{a} is worse than {b}",
            "equivalent": f"{a} and {b} are equivalent within {100 * self.margin:.2f} points",
            "no difference shown": f"no difference shown between {a} and {b}",
        }[self.verdict]
        adjusted = "" if self.p_adjusted == self.p else f" ({p_text(self.p_adjusted)} after Holm)"
        return (
            f"{verdict}: WER {100 * self.rate_a:.2f} % against {100 * self.rate_b:.2f} %, "
            f"{signed_points(self.difference)} points, 95 % interval {low} to {high}, "
            f"{p_text(self.p)}{adjusted}; {self.reach()}"
        )

    def reach(self) -> str:
        """What the figures generalise to, and what they do not."""
        units = f"{self.units} {self.unit}s"
        seeds = " and ".join(map(str, dict.fromkeys(self.seeds)))  # "3", or "5 and 2"
        if self.held_out and self.unit == "speaker":
            models = "a model" if set(self.seeds) == {1} else f"{seeds} models"
            alone = "; with one seed, another may differ" if min(self.seeds) == 1 else ""
            return f"over {units}, each scored by {models} trained without them{alone}"
        if self.unit == "utterance":
            units += " (of these speakers)"
        if self.seeds == (1, 1):
            return f"over {units} only: with one trained model per system, other seeds may differ"
        if min(self.seeds) == 1:
            return (
                f"over {units} and, for one system, {max(self.seeds)} seeds: the other system is "
                "one trained model, and how its seeds differ is not known"
            )
        few = " (too few to say much about other seeds)" if min(self.seeds) == 2 else ""
        return f"over {units} and {seeds} seeds{few}"

    def to_json(self) -> Json:
        """Every figure, and the verdict, as plain JSON values."""
        values = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("crossed", "seeds_alone")
        }
        return values | {
            "p_crossed": self.p_crossed,
            "p_seeds": self.p_seeds,
            "standard_error": self.crossed.value,
            "degrees_of_freedom": self.crossed.df,
            "ci95": list(self.ci95),
            "seeds": list(self.seeds),
            "verdict": self.verdict,
        }


def crossed_bootstrap(
    errors_a: Integers | Floats,
    errors_b: Integers | Floats,
    words: Integers,
    speakers: Sequence[str | None] | None = None,
    margin: float | None = None,
    draws: int = DRAWS,
    held_out: bool = False,
) -> Comparison:
    """Compare two systems' corpus WER, seeds and speakers (or utterances) both being samples: see
    the module's docstring.

    Args:
        errors_a, errors_b: word errors, (seeds, utterances), or (utterances,) for one model; may
            be weighted, so that the rate is a contrast between some utterances and others.
        words: of the reference, (utterances,); or both of characters, for CER.
        speakers: (utterances,); units are whole speakers when all are known and there are
            `MIN_SPEAKERS`.
        margin: the difference too small to matter; a tenth of the two systems' mean WER if None.
        held_out: every speaker was scored by models trained without that speaker, one per seed.

    Raises:
        ScoringError: arrays of different length, fewer than two utterances, no reference words.
    """
    a, b = np.atleast_2d(errors_a), np.atleast_2d(errors_b)
    _check_paired(a, b, words, speakers)
    codes, unit = resampling_units(len(words), speakers, held_out)
    table = np.stack([sum_by(codes, column) for column in (*a, *b, words)], axis=1)
    units, all_words = len(table), int(words.sum())
    rates = table[:, :-1].sum(0) / all_words  # of every seed, A's then B's
    rates_a, rates_b = rates[: len(a)], rates[len(a) :]

    rng = np.random.default_rng(0)
    sums = resampled_sums(table, units - 1, draws, rng)
    drawn = sums[:, :-1] / np.maximum(sums[:, -1:], 1)
    effects_a = _effects(drawn[:, : len(a)], rates_a, rng)
    effects_b = _effects(drawn[:, len(a) :], rates_b, rng)
    own_models = held_out and unit == "speaker"
    freedoms = (units - 1, len(a) - 1, len(b) - 1)
    crossed, from_seeds = _crossed_error(effects_a, effects_b, freedoms, all_words, own_models)
    alone = StandardError(0.0, math.inf) if own_models else _welch(rates_a, rates_b)

    rate_a, rate_b = float(rates_a.mean()), float(rates_b.mean())
    difference = rate_a - rate_b
    half = max(error.half_width() for error in (crossed, alone))
    p = max(error.p(difference) for error in (crossed, alone))
    return Comparison(
        rate_a, rate_b, difference, ci95=(difference - half, difference + half), p=p, p_adjusted=p,
        crossed=crossed, seeds_alone=alone, from_seeds=from_seeds,
        minimum_detectable=max(error.detectable(LEVEL) for error in (crossed, alone)),
        margin=(rate_a + rate_b) / 20 if margin is None else margin,
        unit=unit, units=units, seeds=(len(a), len(b)), held_out=held_out,
    )  # fmt: skip


def _check_paired(
    a: NDArray[Any], b: NDArray[Any], words: Integers, speakers: Sequence[str | None] | None
) -> None:
    lengths = [a.shape[1], b.shape[1], len(words), len(words if speakers is None else speakers)]
    if len(set(lengths)) > 1:
        raise ScoringError(
            "a paired test needs the same utterances; got errors of {} and {}, words of {} and "
            "speakers of {} utterances".format(*lengths)
        )
    if len(words) < 2 or words.sum() == 0:
        raise ScoringError(
            f"too little to compare (utterances: {len(words)}, reference words: "
            f"{int(words.sum())}); expected at least two utterances, and words in them"
        )


@dataclass(frozen=True, slots=True)
class _Effects:
    """How the draws changed one system's mean rate, (draws,) each."""

    units: Floats  # by the units alone: u*
    seeds: Floats  # by the seeds alone: s*
    both: Floats  # by nothing but both together: i*


def _effects(drawn: Floats, rates: Floats, rng: np.random.Generator) -> _Effects:
    """
    Args:
        drawn: WER of every seed on every draw of units, (draws, seeds).
        rates: WER of every seed on all units, (seeds,).
    """
    draws, seeds = drawn.shape
    by_units = drawn.mean(1) - rates.mean()
    if seeds == 1:
        return _Effects(by_units, np.zeros(draws), np.zeros(draws))
    weights = rng.multinomial(seeds - 1, [1 / seeds] * seeds, size=draws) / (seeds - 1)
    by_seeds = weights @ rates - rates.mean()
    by_both = (weights * drawn).sum(1) - rates.mean() - by_units - by_seeds
    return _Effects(by_units, by_seeds, by_both)


def _crossed_error(
    a: _Effects, b: _Effects, freedoms: Sequence[int], all_words: int, own_models: bool
) -> tuple[StandardError, float]:
    """The standard error of the difference, and the share of its variance due to the seeds.

    Args:
        freedoms: degrees of freedom of the units, A's seeds and B's seeds.
        own_models: every unit (speaker) was scored by models of its own.
    """
    by_units = float(np.var(a.units - b.units))
    by_seeds = [float(np.var(a.seeds)), float(np.var(b.seeds))]
    if own_models:
        noise = [float(np.var(a.both)), float(np.var(b.both))]
        by_seeds = [max(0.0, own - part) for own, part in zip(by_seeds, noise, strict=True)]
        variance = by_units + sum(by_seeds)
    else:
        by_both = float(np.var(a.both - b.both))
        variance = max(by_units + sum(by_seeds) - by_both, by_units, sum(by_seeds))
    parts = zip([by_units, *by_seeds], freedoms, strict=True)
    df = _satterthwaite(variance, [part for part in parts if part[0] > 0])
    error = max(math.sqrt(variance), unseen_rate(all_words) / t_quantile(LEVEL, df))
    return StandardError(error, df), min(1.0, sum(by_seeds) / variance) if variance else 0.0


def _welch(rates_a: Floats, rates_b: Floats) -> StandardError:
    """Welch's t test of the seeds' rates, (seeds,) each (Welch 1947, Biometrika 34). A system whose
    seeds agree to the last error adds nothing; two such systems give 0."""
    parts = [(float(r.var(ddof=1)) / len(r), len(r) - 1) for r in (rates_a, rates_b) if len(r) > 1]
    parts = [part for part in parts if part[0] > 0]
    variance = sum(part[0] for part in parts)
    return StandardError(math.sqrt(variance), _satterthwaite(variance, parts))


def _satterthwaite(variance: float, parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a variance with parts of (variance, degrees of freedom) each, no fewer
    than those of the part that has fewest."""
    if not parts:
        return math.inf
    df = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    return max(df, min(freedom for _, freedom in parts))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the chance of any false "different" among all remains below the
    level (Holm 1979, Scandinavian Journal of Statistics 6). In the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with `p_adjusted`, and with it the verdict, after Holm over them all;
    `minimum_detectable` is for the strictest of the adjusted levels."""
    adjusted = holm([comparison.p for comparison in comparisons])
    level = LEVEL / max(len(comparisons), 1)
    return [
        replace(
            c,
            p_adjusted=p,
            minimum_detectable=max(e.detectable(level) for e in (c.crossed, c.seeds_alone)),
        )
        for c, p in zip(comparisons, adjusted, strict=True)
    ]


def signed(value: float, digits: int = 2) -> str:
    """Always with a sign, which is plus for what rounds to 0; the minus is as wide as the plus."""
    return f"{value:+z.{digits}f}".replace("-", "−")


def signed_points(difference: float, digits: int = 2) -> str:
    """A fraction in percentage points."""
    return signed(100 * difference, digits)


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
