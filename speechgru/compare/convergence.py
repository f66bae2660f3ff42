"""How fast and how reliably variants learn: steps to a target, failures, learning rates.

A run reaches a target at its first evaluation on dev at or below it. The target is the worst
variant's median best dev WER, so at least half of every variant's runs can reach it; variants that
learned nothing, or of which half diverged, are ignored. Each pair is tested at its own target,
whatever else was trained.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from speechgru.compare.runner import RunResult
from speechgru.scoring.interval import LEVEL
from speechgru.scoring.significance import holm
from speechgru.training.state import EpochMetrics

COLLAPSED = 0.75  # dev CER at or above which a model has learned nothing
IMPROVING = 0.05  # relative fall of dev WER over the last two evaluations, …
IMPROVING_POINTS = 0.01  # … and the absolute one, that count as still improving
FLIPS = 16  # differences up to which all sign flips are enumerated; more are sampled

Runs = dict[str, list[RunResult]]  # variant → its runs


@dataclass(frozen=True)
class Band:
    """Over the runs of a variant."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class CurvePoint:
    """One epoch of a variant, over the runs that got that far."""

    epoch: int
    runs: int
    steps: float
    loss: Band | None
    dev_wer: Band | None


@dataclass(frozen=True)
class VariantConvergence:
    curve: tuple[CurvePoint, ...]
    steps_to_target: tuple[int | None, ...]  # per run; None: never reached
    median_steps_to_target: int | None
    reached: int  # runs
    attempted: int  # runs that finished or diverged
    improving: bool  # dev WER was still falling at the last evaluation, in most runs


@dataclass(frozen=True)
class PairConvergence:
    """Steps of `a` ÷ steps of `b` to a common target, run by run of the same seed and fold."""

    a: str
    b: str
    target_dev_wer: float
    runs: int
    seeds: int
    never: tuple[int, int]  # runs of a and of b that did not reach the target
    ratio: float  # geometric mean
    p: float
    p_adjusted: float

    @property
    def verdict(self) -> Literal["faster", "slower", "no difference shown"]:
        """Of `a`."""
        if self.p_adjusted >= LEVEL:
            return "no difference shown"
        return "faster" if self.ratio < 1 else "slower"


@dataclass(frozen=True)
class Convergence:
    target_dev_wer: float | None  # None: no variant learned anything
    variants: dict[str, VariantConvergence]
    pairs: tuple[PairConvergence, ...]


@dataclass(frozen=True)
class Trial:
    """One learning rate of a variant, over folds."""

    learning_rate: float
    dev_wer: Band | None  # None: all runs failed
    runs: int
    failed: int


def convergence(finished: Runs, failed: Runs) -> Convergence:
    """Of each variant's `finished` runs and those that ended without a model.

    A run that diverged never reaches a target; other failures do not depend on the variant.
    """
    target = _target(finished.values())
    attempted = {
        name: [*runs, *(r for r in failed[name] if r.failure and r.failure.kind == "diverged")]
        for name, runs in finished.items()
    }
    variants = {}
    for name, runs in finished.items():
        steps = [_steps_to(run, target) for run in attempted[name]]
        median = statistics.median_low(steps) if steps else math.inf
        variants[name] = VariantConvergence(
            curve=_curve(runs),
            steps_to_target=tuple(int(s) if math.isfinite(s) else None for s in steps),
            median_steps_to_target=int(median) if math.isfinite(median) else None,
            reached=sum(map(math.isfinite, steps)),
            attempted=len(steps),
            improving=2 * sum(map(improving, runs)) > len(runs),
        )
    return Convergence(target, variants, _pairs(attempted))


def improving(run: RunResult) -> bool:
    """Whether dev WER had a new minimum at the last evaluation and clearly fell over the last two:
    more epochs would probably help."""
    wers = [row.dev_wer for row in run.curve if row.dev_wer is not None]
    if len(wers) < 2 or wers[-1] >= min(wers[:-1]):
        return False
    before = wers[-3:][0]
    return before - wers[-1] >= max(IMPROVING_POINTS, IMPROVING * before)


def collapsed(run: RunResult) -> bool:
    """Whether a training learned nothing, judged by characters: all words may be wrong where most
    characters are right."""
    scores = [row.dev_cer for row in run.curve if row.dev_cer is not None]
    return bool(scores) and min(scores) >= COLLAPSED


def sensitivity(trials: Runs) -> dict[str, tuple[Trial, ...]]:
    """Variant → dev WER at each learning rate tried."""
    table: dict[str, tuple[Trial, ...]] = {}
    for name, runs in trials.items():
        for rate in sorted({run.learning_rate for run in runs}):
            tried = [run for run in runs if run.learning_rate == rate]
            wers = [run.model.dev_wer for run in tried if run.model]
            trial = Trial(rate, _band(wers), len(tried), len(tried) - len(wers))
            table[name] = (*table.get(name, ()), trial)
    return table


def flip_test(differences: Sequence[float]) -> float:
    """Two-sided p of paired differences whose signs are arbitrary under "no difference" (Fisher's
    randomisation test, 1935).

    >>> flip_test([1.0, 1.0, 1.0])
    0.25
    """
    values, count = np.asarray(differences, dtype=np.float64), len(differences)
    if count <= FLIPS:
        signs = np.array(list(itertools.product((1, -1), repeat=count)))
    else:
        signs = np.random.default_rng(0).choice((1, -1), size=(20_000, count))
        signs[0] = 1
    return float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12))


def _curve(runs: Sequence[RunResult]) -> tuple[CurvePoint, ...]:
    points = []
    for epoch in range(1, 1 + max((len(run.curve) for run in runs), default=0)):
        rows = [run.curve[epoch - 1] for run in runs if len(run.curve) >= epoch]
        steps = statistics.median(row.step for row in rows)
        loss, dev_wer = _band([r.loss for r in rows]), _band([r.dev_wer for r in rows])
        points.append(CurvePoint(epoch, len(rows), steps, loss, dev_wer))
    return tuple(points)


def _band(values: Sequence[float | None]) -> Band | None:
    known = [value for value in values if value is not None]
    return Band(min(known), statistics.median(known), max(known)) if known else None


def _pairs(runs: Runs) -> tuple[PairConvergence, ...]:
    """p is adjusted over all pairs by Holm's method."""
    names = [name for name in runs if runs[name]]
    tests = [
        test
        for a, b in itertools.combinations(names, 2)
        if (test := _compare(a, b, runs[a], runs[b]))
    ]
    adjusted = holm([test.p for test in tests])
    return tuple(replace(test, p_adjusted=p) for test, p in zip(tests, adjusted, strict=True))


def _compare(
    a: str, b: str, runs_a: Sequence[RunResult], runs_b: Sequence[RunResult]
) -> PairConvergence | None:
    """None without a target or runs of equal seed and fold that finished an epoch.

    A run that never reaches the target counts as twice the most steps of any of the pair's runs.
    The folds of a seed start from the same weights, so they are not independent: seeds, each with
    the mean of its folds, are the sample.
    """
    target = _target([runs_a, runs_b])
    by_key = [{(run.seed, run.fold): run for run in side} for side in (runs_a, runs_b)]
    both = [key for key in by_key[0] if key in by_key[1]]
    curves = [side[key].curve for key in both for side in by_key]
    late = 2.0 * max((curve[-1].step for curve in curves if curve), default=0)
    if target is None or not late:
        return None
    steps = np.array([[_steps_to(side[key], target) for key in both] for side in by_key])
    logs = np.log(np.minimum(steps, late))
    differences = logs[0] - logs[1]
    seeds = np.array([seed for seed, _ in both])
    by_seed = [float(differences[seeds == seed].mean()) for seed in np.unique(seeds)]
    never_a, never_b = (int(np.isinf(side).sum()) for side in steps)
    p = flip_test(by_seed)
    return PairConvergence(
        a=a,
        b=b,
        target_dev_wer=target,
        runs=len(both),
        seeds=len(by_seed),
        never=(never_a, never_b),
        ratio=math.exp(differences.mean()),
        p=p,
        p_adjusted=p,
    )


def _target(variants: Iterable[Sequence[RunResult]]) -> float | None:
    learned = [runs for runs in variants if runs and not all(map(collapsed, runs))]
    medians = [statistics.median(map(_best, runs)) for runs in learned]
    return max((median for median in medians if math.isfinite(median)), default=None)


def _steps_to(run: RunResult, target: float | None) -> float:
    """Infinite for a run that never reached the target or has no model."""
    if target is None or run.failure:
        return math.inf
    return next((float(row.step) for row in run.curve if _dev_wer(row) <= target), math.inf)


def _best(run: RunResult) -> float:
    """Infinite for a run that diverged, whatever it reached before, or learned nothing."""
    return math.inf if run.failure else min(map(_dev_wer, run.curve), default=math.inf)


def _dev_wer(row: EpochMetrics) -> float:
    """Infinite where dev was not scored, or the model wrote next to nothing: empty output deletes
    every word, which may be fewer errors than a poor model makes."""
    if row.dev_wer is None or (row.dev_cer or 0.0) >= COLLAPSED:
        return math.inf
    return row.dev_wer
