"""Is one variant easier to train: how fast, how surely, how steadily, at which learning rates.

A run reaches a target at its first scoring of dev at or below it. The target is the worst variant's
median best dev WER, so that at least half of every variant's runs can reach it; variants that
learned nothing, or of which half diverged, have no say. A pair is tested at a target of its own,
whatever else was trained.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from speechgru.scoring.interval import LEVEL
from speechgru.scoring.significance import holm

Result = dict[str, Any]
Band = list[float]  # [lowest, median, highest] over runs
COLLAPSED = 0.75  # a dev CER from here on is a model that learned nothing
EXACT = 16  # pairs up to which every flip of signs is tried
FLIPS = 20_000


def trainability(runs: dict[str, list[Result]], failed: dict[str, list[Result]]) -> dict[str, Any]:
    """Curves, updates to the target, gradient norms and failures of every variant.

    `runs` are those that finished, `failed` those that ended without a model. Runs that diverged
    never reach a target; other faults say nothing of the cell.
    """
    target = _target(runs.values())
    diverged = {
        name: [run for run in each if run["failed"]["kind"] == "diverged"]
        for name, each in failed.items()
    }
    systems: dict[str, Any] = {}
    for name, each in runs.items():
        tried = [*each, *diverged[name]]
        reached = [_updates_to(run, target) for run in tried]
        middle = statistics.median_low(reached) if reached else math.inf
        systems[name] = {
            "curve": curve(each),
            "updates_to_target": [step if math.isfinite(step) else None for step in reached],
            "median_updates_to_target": middle if math.isfinite(middle) else None,
            "reached": f"{sum(map(math.isfinite, reached))} of {len(tried)}",
            "diverged": len(diverged[name]),
            "runs": len(each) + len(failed[name]),
        }
    return {
        "target_dev_wer": target,
        "systems": systems,
        "pairs": _pairs({name: [*each, *diverged[name]] for name, each in runs.items()}),
    }


def curve(runs: Sequence[Result]) -> list[dict[str, Any]]:
    """A row an epoch, with bands over the runs that got so far."""
    rows = []
    for epoch in range(1, 1 + max((len(run["curve"]) for run in runs), default=0)):
        here = [(run, run["curve"][epoch - 1]) for run in runs if len(run["curve"]) >= epoch]
        row: dict[str, Any] = {
            "epoch": epoch,
            "runs": len(here),
            "updates": statistics.median(point["step"] for _, point in here),
            "audio_hours": epoch * statistics.median(run["train_hours"] for run, _ in here),
        }
        for key in ("loss", "dev_wer", "grad_norm_median", "grad_norm_max"):
            values = [point[key] for _, point in here if key in point]
            if values:
                row[key] = [min(values), statistics.median(values), max(values)]
        rows.append(row)
    return rows


def sensitivity(trials: dict[str, list[Result]]) -> dict[str, list[dict[str, Any]]]:
    """Dev WER at each learning rate of the grid: median, lowest and highest over the folds that
    came to something; None where all failed."""
    table: dict[str, list[dict[str, Any]]] = {}
    for name, each in trials.items():
        for rate in sorted({trial["learning_rate"] for trial in each}):
            here = [trial for trial in each if trial["learning_rate"] == rate]
            wers = [trial["dev_wer"] for trial in here if "failed" not in trial]
            median = statistics.median(wers) if wers else None
            failed = len(here) - len(wers)
            ends = (min(wers, default=None), max(wers, default=None))
            row = {"learning_rate": rate, "dev_wer": median, "lowest": ends[0], "highest": ends[1],
                   "runs": len(here), "failed": failed}  # fmt: skip
            table.setdefault(name, []).append(row)
    return table


def flip_test(differences: Sequence[float]) -> float:
    """Two-sided p of paired differences whose signs are arbitrary under "no difference" (Fisher's
    randomisation test, 1935): exact up to EXACT pairs, drawn beyond.

    >>> flip_test([1.0, 1.0, 1.0])
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return 1.0
    if len(values) <= EXACT:
        signs = np.array(list(itertools.product((1, -1), repeat=len(values))))
    else:
        signs = np.random.default_rng(0).choice((1, -1), size=(FLIPS, len(values)))
        signs[0] = 1
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= abs(values.sum()) - 1e-12))


def smallest_p(pairs: int) -> float:
    """The least p that `flip_test` can come to."""
    return min(1.0, 2.0 ** (1 - pairs))


def _pairs(runs: dict[str, list[Result]]) -> list[dict[str, Any]]:
    """Ratio of updates to the pair's target, run against run of the same seed and fold.

    A run that never got there counts as twice as many updates as any of the pair's runs took: late,
    without being infinite. The folds of a seed begin with the same weights and share their luck, so
    the test takes seeds, each with its folds' mean, for the sample."""
    found: list[dict[str, Any]] = []
    for a, b in itertools.combinations([name for name in runs if runs[name]], 2):
        target = _target([runs[a], runs[b]])
        by_key = [{_key(run): run for run in runs[name]} for name in (a, b)]
        both = [key for key in by_key[0] if key in by_key[1]]
        if target is None or not both:
            continue
        steps = np.array([[_updates_to(side[key], target) for key in both] for side in by_key])
        late = 2.0 * max(_last_step(side[key]) for key in both for side in by_key)
        logs = np.log(np.minimum(steps, late))
        differences = logs[0] - logs[1]
        seeds = np.array([seed for seed, _ in both])
        by_seed = [float(differences[seeds == seed].mean()) for seed in np.unique(seeds)]
        found.append({
            "a": a, "b": b, "target_dev_wer": target, "runs": len(both), "seeds": len(by_seed),
            "never": [int(np.isinf(side).sum()) for side in steps],
            "ratio": math.exp(differences.mean()), "p": flip_test(by_seed),
        })  # fmt: skip
    for pair, p in zip(found, holm([pair["p"] for pair in found]), strict=True):
        pair["p_adjusted"] = p
        pair["verdict"] = (
            "no difference shown" if p >= LEVEL else "faster" if pair["ratio"] < 1 else "slower"
        )
    return found


def _target(variants: Iterable[Sequence[Result]]) -> float | None:
    """What the worst variant that learned anything reaches in half of its runs; one of which half
    diverged reaches nothing, and has no say."""
    learned = [runs for runs in variants if runs and not all(map(collapsed, runs))]
    medians = [statistics.median(map(_best, runs)) for runs in learned]
    return max((median for median in medians if math.isfinite(median)), default=None)


def collapsed(run: Result) -> bool:
    """Whether a training learned nothing. Words may all be wrong where letters are not."""
    scores = [row["dev_cer"] for row in run["curve"] if "dev_cer" in row]
    return bool(scores) and min(scores) >= COLLAPSED


def _updates_to(run: Result, target: float | None) -> float:
    """Infinite for a run that never got there, or has no model to show."""
    if target is None or "failed" in run:
        return math.inf
    return next(
        (row["step"] for row in run["curve"] if _says_something(row) and row["dev_wer"] <= target),
        math.inf,
    )


def _says_something(row: dict[str, Any]) -> bool:
    """Whether dev was scored with a model that writes: silence leaves every word out, which may
    be fewer errors than a poor model makes."""
    return "dev_wer" in row and row.get("dev_cer", 0.0) < COLLAPSED


def _last_step(run: Result) -> int:
    return int(run["curve"][-1]["step"]) if run["curve"] else 0


def _best(run: Result) -> float:
    """Infinite for a run that diverged, whatever it reached before, or learned nothing."""
    if "failed" in run:
        return math.inf
    scores = (row["dev_wer"] for row in run["curve"] if _says_something(row))
    return float(min(scores, default=math.inf))


def _key(run: Result) -> tuple[int, str]:
    return run["seed"], run["fold"]
