"""What a comparison's folder holds: runs, failures, and systems with their folds pooled."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechgru.compare.plan import run_name
from speechgru.compare.work import read_result
from speechgru.scoring.significance import Comparison

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
    failures: dict[str, Result]  # name → a result that says why there is no model
    pending: list[str]  # names of runs that have not been carried out yet
    systems: dict[str, System]  # variants with at least one whole seed
    trials: dict[str, list[Result]]


def pair_values(a: str, b: str, comparison: Comparison, measure: str = "WER") -> dict[str, Any]:
    """A comparison of two systems as JSON holds it, and its verdict in words."""
    values = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in comparison.to_json().items()
    }
    return {"a": a, "b": b, **values, "sentence": comparison.sentence(a, b, measure)}


def other_references(plan: dict[str, Any]) -> bool:
    """Whether the variants' references differ, as with text.case: their errors are of two kinds."""
    return bool(plan["question"]["vary"].startswith("text."))


def same_words(a: System, b: System) -> bool:
    """Whether two systems were scored on the same utterances."""
    return a.ids == b.ids and np.array_equal(a.words, b.words)


def gather(plan: dict[str, Any], folder: Path) -> Evidence:
    """Read every result file that the plan calls for."""
    question = plan["question"]
    runs: dict[str, list[Result]] = {}
    failures: dict[str, Result] = {}
    pending: list[str] = []
    systems: dict[str, System] = {}
    trials: dict[str, list[Result]] = {}
    for variant in question["variants"]:
        by_seed: dict[int, list[Result]] = {}
        runs[variant], trials[variant] = [], []
        for seed in range(1, question["seeds"] + 1):
            for fold in plan["folds"] or [""]:
                name = run_name(variant, seed, fold)
                result = read_result(folder / "results" / f"{name}.json")
                if result is None:
                    pending.append(name)
                elif "scored" in result:
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
    return Evidence(plan, runs, failures, pending, systems, trials)


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
