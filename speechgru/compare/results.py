"""From result files to figures: results.json.

Design choices:
- Everything that repeats exactly stands outside `timings`; that section alone differs when the
  same comparison is carried out again.
- A seed counts when all its folds finished; what did not is named, with its reason.
- Rates are fractions.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechgru.compare.plan import run_name
from speechgru.compare.work import read_result
from speechgru.significance import adjust, crossed_bootstrap, rate_interval

FORMAT = "speechgru-comparison-1"
COLLAPSED = 0.90  # a dev WER from here on is a model that learned nothing
Result = dict[str, Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class System:
    """A variant's scored runs, folds pooled: errors (seeds, utterances), words (utterances,)."""

    name: str
    seeds: list[int]
    errors: Counts
    character_errors: Counts
    words: Counts
    characters: Counts
    ids: list[str]
    speakers: list[str | None]
    seconds: list[float]


@dataclass(frozen=True)
class Evidence:
    """All that was found in a comparison's folder."""

    plan: dict[str, Any]
    runs: dict[str, list[Result]]  # variant → its runs that finished, seed by seed, fold by fold
    failures: dict[str, Result]  # name → its result, or {} where there is none
    systems: dict[str, System]  # variants with at least one whole seed
    trials: dict[str, list[Result]]


def build_results(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What results.json holds. Raises SpeechgruError for a damaged result file."""
    evidence = gather(plan, folder)
    question = plan["question"]
    return {
        "format": FORMAT,
        "question": question,
        "scored_on": "test" if question["test"] or question["folds"] else "dev",
        "folds": plan["folds"],
        "systems": [_system(name, evidence) for name in question["variants"]],
        "pairs": _pairs(evidence),
        "failures": {
            name: result["failed"]["reason"] if result else "no result yet"
            for name, result in evidence.failures.items()
        },
        "timings": {"training": _training_times(evidence)},
    }


def gather(plan: dict[str, Any], folder: Path) -> Evidence:
    """Read every result file that the plan calls for."""
    question = plan["question"]
    runs: dict[str, list[Result]] = {}
    failures: dict[str, Result] = {}
    systems: dict[str, System] = {}
    trials: dict[str, list[Result]] = {}
    for variant in question["variants"]:
        by_seed: dict[int, list[Result]] = {}
        runs[variant], trials[variant] = [], []
        for seed in range(1, question["seeds"] + 1):
            for fold in plan["folds"] or [""]:
                name = run_name(variant, seed, fold)
                result = read_result(folder / "results" / f"{name}.json") or {}
                if "scored" in result:
                    runs[variant].append(result)
                    by_seed.setdefault(seed, []).append(result)
                else:
                    failures[name] = result
        whole = {
            s: found for s, found in by_seed.items() if len(found) == len(plan["folds"] or [""])
        }
        if whole:
            systems[variant] = _pool(variant, whole)
        for fold, rate in itertools.product(plan["folds"] or [""], question["learning_rates"]):
            name = run_name(variant, 1, fold, rate)
            if trial := read_result(folder / "results" / f"{name}.json"):
                trials[variant].append(trial)
    return Evidence(plan, runs, failures, systems, trials)


def _pool(name: str, by_seed: dict[int, list[Result]]) -> System:
    def joined(results: Sequence[Result], key: str) -> list[Any]:
        return [value for result in results for value in result["scored"][key]]

    first = next(iter(by_seed.values()))

    def table(key: str) -> Counts:
        return np.array([joined(results, key) for results in by_seed.values()], dtype=np.int64)

    return System(
        name,
        list(by_seed),
        table("errors"),
        table("character_errors"),
        np.array(joined(first, "words"), dtype=np.int64),
        np.array(joined(first, "characters"), dtype=np.int64),
        joined(first, "ids"),
        joined(first, "speakers"),
        joined(first, "seconds"),
    )


def _system(name: str, evidence: Evidence) -> dict[str, Any]:
    plan, runs = evidence.plan, evidence.runs[name]
    failed = [r for r in evidence.failures.values() if r.get("variant") == name]
    rates = (plan["chosen_learning_rates"] or {}).get(name, {})
    values: dict[str, Any] = {
        "name": name,
        **{k: plan["sizes"][name][k] for k in ("width", "parameters", "macs_per_second", "ratio")},
        "learning_rates": sorted(set(rates.values())),
        "runs": len(runs),
        "failed_runs": len(failed),
        "collapsed_runs": sum(run["dev_wer"] >= COLLAPSED for run in runs),
        "skipped_steps": sum(run["curve"][-1]["skipped_steps"] for run in runs),
    }
    if (system := evidence.systems.get(name)) is not None:
        values |= _rates(system)
    return values


def _rates(system: System) -> dict[str, Any]:
    """WER and CER over seeds; the interval is over speakers or utterances, seeds averaged."""
    seeds = len(system.seeds)
    words, characters = int(system.words.sum()), int(system.characters.sum())
    wers = [float(errors.sum() / max(words, 1)) for errors in system.errors]
    cers = [float(errors.sum() / max(characters, 1)) for errors in system.character_errors]
    interval, unit = rate_interval(system.errors.sum(0), system.words * seeds, system.speakers)
    return {
        "seeds": system.seeds,
        "wer": wers,
        "wer_mean": statistics.fmean(wers),
        "wer_std": statistics.stdev(wers) if seeds > 1 else None,
        "wer_ci95": list(interval),
        "ci_unit": unit,
        "cer": cers,
        "cer_mean": statistics.fmean(cers),
        "words": words,
        "utterances": len(system.ids),
        "speakers": len({speaker for speaker in system.speakers if speaker is not None}),
    }


def _pairs(evidence: Evidence) -> list[dict[str, Any]]:
    """Every pair of systems that read the same words, after Holm over all pairs."""
    pairs, comparisons = [], []
    for a, b in itertools.combinations(evidence.systems.values(), 2):
        if a.ids == b.ids and np.array_equal(a.words, b.words) and len(a.ids) > 1:
            pairs.append((a.name, b.name))
            comparisons.append(crossed_bootstrap(a.errors, b.errors, a.words, a.speakers))
    return [
        {"a": a, "b": b, **comparison.to_json(), "sentence": comparison.sentence(a, b)}
        for (a, b), comparison in zip(pairs, adjust(comparisons), strict=True)
    ]


def _training_times(evidence: Evidence) -> dict[str, Any]:
    """Seconds an epoch as the grid ran, perhaps several at a time: see `cost` for fair ones."""
    times = {}
    for name, runs in evidence.runs.items():
        each = [run["timings"]["seconds"][-1] / len(run["timings"]["seconds"]) for run in runs]
        times[name] = {"seconds_per_epoch": statistics.fmean(each) if each else None}
    return times
