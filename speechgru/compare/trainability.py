"""Is one variant easier to train: how fast, how surely, how steadily, at which learning rates.

A run reaches the target at its first scoring of dev at or below it. The target is the worst
variant's median best dev WER, so that at least half of every variant's runs can reach it.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from speechgru.significance import LEVEL, holm

Result = dict[str, Any]
Band = list[float]  # [lowest, median, highest] over runs
EXACT = 16  # pairs up to which every flip of signs is tried
FLIPS = 20_000


def trainability(runs: dict[str, list[Result]], failed: dict[str, list[Result]]) -> dict[str, Any]:
    """Curves, updates to the target, gradient norms and failures of every variant.

    `runs` are those that finished, `failed` those that ended without a model.
    """
    bests = [statistics.median(_best(run) for run in each) for each in runs.values() if each]
    target = max(bests, default=math.nan)
    systems: dict[str, Any] = {}
    for name, each in runs.items():
        reached = {_key(run): _updates_to(run, target) for run in each}
        steps = [value for value in reached.values() if value is not None]
        total = len(each) + len(failed[name])
        systems[name] = {
            "curve": curve(each),
            "updates_to_target": list(reached.values()),
            "median_updates_to_target": statistics.median(steps) if steps else None,
            "reached": f"{len(steps)} of {total}",
            "diverged": sum(
                run.get("failed", {}).get("kind") == "diverged" for run in failed[name]
            ),
            "runs": total,
        }
    return {
        "target_dev_wer": None if math.isnan(target) else target,
        "systems": systems,
        "pairs": _pairs(runs, target),
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
    """Dev WER at each learning rate of the grid: median, lowest and highest over folds; None where
    all failed."""
    table: dict[str, list[dict[str, Any]]] = {}
    for name, each in trials.items():
        for rate in sorted({trial["learning_rate"] for trial in each}):
            here = [trial for trial in each if trial["learning_rate"] == rate]
            wers = [trial["dev_wer"] for trial in here if "failed" not in trial]
            median = statistics.median(wers) if wers else None
            failed = len(here) - len(wers)
            ends = (min(wers, default=None), max(wers, default=None))
            row = {"learning_rate": rate, "dev_wer": median, "lowest": ends[0], "highest": ends[1],
                   "failed": failed}  # fmt: skip
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


def _pairs(runs: dict[str, list[Result]], target: float) -> list[dict[str, Any]]:
    """Ratio of updates to the target, run against run of the same seed and fold.

    A run that never got there counts as twice its last update: late, without being infinite."""
    found: list[dict[str, Any]] = []
    for a, b in itertools.combinations([name for name in runs if runs[name]], 2):
        steps = [
            {_key(run): _updates_or_late(run, target) for run in runs[name]} for name in (a, b)
        ]
        both = [key for key in steps[0] if key in steps[1]]
        logs = [math.log(steps[0][key] / steps[1][key]) for key in both]
        if logs:
            ratio = math.exp(statistics.fmean(logs))
            found.append({"a": a, "b": b, "ratio": ratio, "runs": len(logs), "p": flip_test(logs)})
    for pair, p in zip(found, holm([pair["p"] for pair in found]), strict=True):
        pair["p_adjusted"] = p
        pair["verdict"] = (
            "no difference shown" if p >= LEVEL else "faster" if pair["ratio"] < 1 else "slower"
        )
    return found


def _updates_or_late(run: Result, target: float) -> float:
    reached = _updates_to(run, target)
    return reached if reached is not None else 2.0 * run["curve"][-1]["step"]


def _updates_to(run: Result, target: float) -> int | None:
    hits = [row["step"] for row in run["curve"] if row.get("dev_wer", math.inf) <= target]
    return int(hits[0]) if hits else None


def _best(run: Result) -> float:
    return float(min(row["dev_wer"] for row in run["curve"] if "dev_wer" in row))


def _key(run: Result) -> tuple[int, str]:
    return run["seed"], run["fold"]
