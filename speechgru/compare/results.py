"""From result files to figures: results.json.

Design choices:
- Everything that repeats exactly stands outside `timings`; that section alone differs when the
  same comparison is carried out again on one machine. (Widths solved for equal time are measured,
  and kept in plan.json: another plan may have others.)
- A seed counts when all its folds finished; what failed is named, with its reason, and so is what
  has not been carried out yet.
- Rates are fractions.
"""

import itertools
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from speechgru.compare.cost import read_costs
from speechgru.compare.lengths import by_length
from speechgru.compare.systems import (
    Evidence,
    System,
    gather,
    other_references,
    pair_values,
    same_words,
)
from speechgru.compare.trainability import collapsed, sensitivity, trainability
from speechgru.scoring.interval import rate_interval
from speechgru.scoring.significance import adjust, crossed_bootstrap

FORMAT = "speechgru-comparison-1"
SIZE = ("width", "parameters", "macs_per_second", "ratio", "within")


def build_results(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What results.json holds. Raises SpeechgruError for a damaged result file."""
    evidence = gather(plan, folder)
    question = plan["question"]
    failed = {
        name: [r for r in evidence.failures.values() if r["variant"] == name]
        for name in question["variants"]
    }
    results = {
        "format": FORMAT,
        "question": question,
        "scored_on": "test" if question["test"] or question["folds"] else "dev",
        "folds": plan["folds"],
        "systems": [_system(name, evidence) for name in question["variants"]],
        "pairs": _pairs(evidence, "WER"),
        "character_pairs": _pairs(evidence, "CER"),
        "by_length": None
        if other_references(plan)
        else by_length(evidence.systems, bool(plan["folds"])),
        "trainability": trainability(evidence.runs, failed),
        "learning_rates": sensitivity(evidence.trials),
        "failures": {
            name: result["failed"]["reason"] for name, result in evidence.failures.items()
        },
        "pending": evidence.pending,
        "made_by": _made_by(evidence),
    }
    timings = {"training": _training_times(evidence), "cost": read_costs(folder / "cost.json")}
    return results | {"timings": timings}


def _system(name: str, evidence: Evidence) -> dict[str, Any]:
    plan, runs = evidence.plan, evidence.runs[name]
    failed = [r for r in evidence.failures.values() if r["variant"] == name]
    rates = (plan["chosen_learning_rates"] or {}).get(name, {})
    values: dict[str, Any] = {
        "name": name,
        **{key: plan["sizes"][name][key] for key in SIZE},
        "learning_rates": sorted(set(rates.values())),
        "runs": len(runs),
        "failed_runs": len(failed),
        "collapsed_runs": sum(map(collapsed, runs)),
        "train_hours": {_key(run): run["train_hours"] for run in runs},
        "train_utterances": {_key(run): run.get("train_utterances") for run in runs},
    }
    if (system := evidence.systems.get(name)) is not None:
        values |= _rates(system, bool(plan["folds"]))
    return values


def _key(run: dict[str, Any]) -> str:
    return f"{run['seed']} {run['fold']}"


def _rates(system: System, held_out: bool) -> dict[str, Any]:
    """WER and CER over seeds; the interval is over speakers or utterances, seeds averaged."""
    seeds = len(system.seeds)
    words, characters = int(system.words.sum()), int(system.characters.sum())
    wers = [float(errors.sum() / max(words, 1)) for errors in system.errors]
    cers = [float(errors.sum() / max(characters, 1)) for errors in system.character_errors]
    interval, unit = rate_interval(
        system.errors.mean(0), system.words, system.speakers, held_out=held_out
    )
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


def _pairs(evidence: Evidence, measure: str) -> list[dict[str, Any]]:
    """Every pair of systems that read the same words, by WER or CER, after Holm over all pairs."""
    if other_references(evidence.plan):
        return []
    pairs, comparisons = [], []
    for a, b in itertools.combinations(evidence.systems.values(), 2):
        if same_words(a, b) and len(a.ids) > 1:
            pairs.append((a.name, b.name))
            errors = (a.errors, b.errors, a.words)
            if measure == "CER":
                errors = (a.character_errors, b.character_errors, a.characters)
            held_out = bool(evidence.plan["folds"])
            comparisons.append(crossed_bootstrap(*errors, a.speakers, held_out=held_out))
    return [
        pair_values(a, b, comparison, measure)
        for (a, b), comparison in zip(pairs, adjust(comparisons), strict=True)
    ]


def _made_by(evidence: Evidence) -> dict[str, int]:
    """Versions and device → how many runs were trained so, of those that tell."""
    everyone = [run for runs in evidence.runs.values() for run in runs]
    return dict(sorted(Counter(run["made_by"] for run in everyone if run.get("made_by")).items()))


def _training_times(evidence: Evidence) -> dict[str, Any]:
    """Seconds an epoch as the grid ran, perhaps several at a time: see `cost` for fair ones."""
    times = {}
    for name, runs in evidence.runs.items():
        each = [run["timings"]["seconds"][-1] / len(run["timings"]["seconds"]) for run in runs]
        times[name] = {"seconds_per_epoch": statistics.fmean(each) if each else None}
    return times
