"""From result files to numbers: error rates, pairwise tests, convergence and costs.

Design choices
- Everything is rebuilt from plan.json, results/ and cost.json alone; rates are fractions.
- A seed counts when all its folds finished. What failed is named with its reason, and so is what is
  still to run.
- Everything but `costs` and `seconds_per_epoch` repeats exactly on the same machine.
"""

import itertools
import json
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from speechgru.compare.convergence import Convergence, Trial, collapsed, convergence, sensitivity
from speechgru.compare.cost import VariantCost, load_costs
from speechgru.compare.matching import ModelSize
from speechgru.compare.plan import Plan, read_plan
from speechgru.compare.runner import RunResult, Scores, read_results
from speechgru.errors import SpeechgruError
from speechgru.files import Json
from speechgru.scoring.interval import rate_interval
from speechgru.scoring.significance import Comparison, adjust, crossed_bootstrap

FORMAT = "speechgru-comparison-2"
LONGER = 1.5  # words per utterance, longest third ÷ shortest, from which length is analysed, …
THIRD = 100  # … and the words each third needs
# These change the references themselves, so errors are of different kinds:
TEXT_RULE = ("text.case", "text.punctuation", "text.spell_numbers")

Counts = NDArray[np.int64]
Part = NDArray[np.intp]  # indices of utterances


@dataclass(frozen=True)
class System:
    """Error counts of a variant, folds pooled: (seeds, utterances), words (utterances,)."""

    name: str
    seeds: tuple[int, ...]
    errors: Counts
    character_errors: Counts
    words: Counts
    characters: Counts
    ids: list[str]
    speakers: list[str | None]
    seconds: list[float]


@dataclass(frozen=True)
class ErrorRates:
    """WER and CER of a variant, by seed and averaged; the interval is over speakers or utterances,
    with seeds averaged."""

    seeds: tuple[int, ...]
    wer: tuple[float, ...]
    wer_mean: float
    wer_std: float | None  # over seeds
    wer_ci95: tuple[float, float]
    ci_unit: str  # "speaker" or "utterance"
    cer: tuple[float, ...]
    cer_mean: float
    words: int
    utterances: int
    speakers: int


@dataclass(frozen=True)
class SystemResult:
    name: str
    size: ModelSize
    learning_rates: tuple[float, ...]
    runs: int  # finished
    failed_runs: int
    collapsed_runs: int  # finished, but learned nothing
    train_hours: dict[str, float]  # "SEED FOLD" → hours of audio
    train_utterances: dict[str, int | None]
    rates: ErrorRates | None  # None without a complete seed


@dataclass(frozen=True)
class PairResult:
    """System a against system b, p adjusted over all pairs by Holm's method."""

    a: str
    b: str
    verdict: str  # of a: "better", "worse", "equivalent" or "no difference shown"
    comparison: Comparison


@dataclass(frozen=True)
class ByLength:
    """Thirds of the test utterances by duration, and how pairwise differences grow with length."""

    seconds: tuple[tuple[float, float], ...]  # shortest and longest of each third
    words: tuple[int, ...]
    wer: dict[str, tuple[float, ...]]
    growth: tuple[PairResult, ...]  # difference on the longest third − on the shortest


@dataclass(frozen=True)
class Analysis:
    """All that a comparison's folder contains."""

    plan: Plan
    systems: tuple[SystemResult, ...]
    pairs: tuple[PairResult, ...]  # by WER; only variants scored on the same words
    cer_pairs: tuple[PairResult, ...]
    by_length: ByLength | None
    convergence: Convergence
    trials: dict[str, tuple[Trial, ...]]  # variant → learning rates tried on dev
    costs: dict[str, VariantCost]
    failures: dict[str, str]  # run → reason
    pending: tuple[str, ...]  # runs still to come
    made_by: dict[str, int]  # versions and device → runs
    seconds_per_epoch: dict[str, float]  # variant → of these runs, perhaps of several at once

    def to_json(self) -> Json:
        """results.json: plain values; what is not finite is None."""
        return {"format": FORMAT, **json.loads(TypeAdapter(Analysis).dump_json(self))}

    def ranking(self) -> tuple[str, dict[str, PairResult]] | None:
        """The variant of lowest WER (then CER), and its pairs with the others, by their names. None
        when no two variants can be compared."""
        compared = {name for pair in self.pairs for name in (pair.a, pair.b)}
        rates = {
            s.name: (s.rates.wer_mean, s.rates.cer_mean)
            for s in self.systems
            if s.rates and s.name in compared
        }
        if not rates:
            return None
        best = min(rates, key=lambda name: rates[name])
        pairs = [pair for pair in self.pairs if best in (pair.a, pair.b)]
        return best, {pair.b if pair.a == best else pair.a: pair for pair in pairs}


def read_analysis(folder: str | Path) -> Analysis:
    """Of a comparison's folder. Raises SpeechgruError: no comparison there, or a damaged file."""
    folder = Path(folder)
    return analyse(read_plan(folder), read_results(folder), load_costs(folder / "cost.json"))


def analyse(plan: Plan, results: dict[str, RunResult], costs: dict[str, VariantCost]) -> Analysis:
    """`results` by run, `costs` by variant."""
    names, held_out = plan.spec.names, bool(plan.folds)
    finished: dict[str, list[RunResult]] = {name: [] for name in names}
    failed: dict[str, list[RunResult]] = {name: [] for name in names}
    pending = []
    for run in plan.runs():
        result = results.get(run.name)
        if result is None:
            pending.append(run.name)
        else:
            (finished if result.scores else failed)[run.variant].append(result)
    systems = {
        name: system for name in names if (system := _pool(name, finished[name], len(plan.folds)))
    }
    comparable = [] if plan.spec.key in TEXT_RULE else list(systems.values())

    def by_words(a: System, b: System) -> Comparison:
        return crossed_bootstrap(a.errors, b.errors, a.words, a.speakers, held_out=held_out)

    def by_characters(a: System, b: System) -> Comparison:
        errors = (a.character_errors, b.character_errors)
        return crossed_bootstrap(*errors, a.characters, a.speakers, held_out=held_out)

    trials: dict[str, list[RunResult]] = {name: [] for name in names}
    for run in plan.trials():
        if trial := results.get(run.name):
            trials[run.variant].append(trial)
    made_by = Counter(
        run.model.made_by
        for runs in finished.values()
        for run in runs
        if run.model and run.model.made_by
    )
    return Analysis(
        plan=plan,
        systems=tuple(
            _summary(plan, name, finished[name], failed[name], systems.get(name)) for name in names
        ),
        pairs=_pairs(comparable, by_words),
        cer_pairs=_pairs(comparable, by_characters),
        by_length=by_length(comparable, held_out),
        convergence=convergence(finished, failed),
        trials=sensitivity(trials),
        costs=costs,
        failures={
            run.run: run.failure.reason if run.failure else "not scored"
            for runs in failed.values()
            for run in runs
        },
        pending=tuple(pending),
        made_by=dict(sorted(made_by.items())),
        seconds_per_epoch={
            name: statistics.fmean(run.curve[-1].seconds / len(run.curve) for run in runs)
            for name, runs in finished.items()
            if runs
        },
    )


def _pool(name: str, runs: Sequence[RunResult], folds: int) -> System | None:
    """The seeds of which every fold finished. Raises SpeechgruError when they were scored on
    different utterances."""
    by_seed: dict[int, list[Scores]] = {}
    for run in runs:
        if run.scores:
            by_seed.setdefault(run.seed, []).append(run.scores)
    whole = {seed: scores for seed, scores in by_seed.items() if len(scores) == max(folds, 1)}
    if not whole:
        return None
    joined: dict[str, list[list[Any]]] = {  # key → for each seed, a value per utterance
        field.name: [
            [value for part in scores for value in getattr(part, field.name)]
            for scores in whole.values()
        ]
        for field in fields(Scores)
    }
    for seed, ids in zip(whole, joined["ids"], strict=True):
        if ids != joined["ids"][0]:
            raise SpeechgruError(
                f"{name}: the results of seed {seed} are of other utterances than those of seed "
                f"{next(iter(whole))}; delete those of the wrong ones in results/ and repeat them"
            )
    return System(
        name=name,
        seeds=tuple(whole),
        errors=np.array(joined["errors"]),
        character_errors=np.array(joined["character_errors"]),
        words=np.array(joined["words"][0]),
        characters=np.array(joined["characters"][0]),
        ids=joined["ids"][0],
        speakers=joined["speakers"][0],
        seconds=joined["seconds"][0],
    )


def _summary(
    plan: Plan,
    name: str,
    runs: Sequence[RunResult],
    failed: Sequence[RunResult],
    system: System | None,
) -> SystemResult:
    models = {f"{run.seed} {run.fold}": run.model for run in runs if run.model}
    return SystemResult(
        name=name,
        size=plan.sizes[name],
        learning_rates=tuple(sorted(set((plan.learning_rates or {}).get(name, {}).values()))),
        runs=len(runs),
        failed_runs=len(failed),
        collapsed_runs=sum(map(collapsed, runs)),
        train_hours={key: model.train_hours for key, model in models.items()},
        train_utterances={key: model.train_utterances for key, model in models.items()},
        rates=_rates(system, bool(plan.folds)) if system else None,
    )


def _rates(system: System, held_out: bool) -> ErrorRates:
    words, characters = int(system.words.sum()), int(system.characters.sum())
    wers = [float(errors.sum() / max(words, 1)) for errors in system.errors]
    cers = [float(errors.sum() / max(characters, 1)) for errors in system.character_errors]
    interval, unit = rate_interval(
        system.errors.mean(0), system.words, system.speakers, held_out=held_out
    )
    return ErrorRates(
        seeds=system.seeds,
        wer=tuple(wers),
        wer_mean=statistics.fmean(wers),
        wer_std=statistics.stdev(wers) if len(wers) > 1 else None,
        wer_ci95=interval,
        ci_unit=unit,
        cer=tuple(cers),
        cer_mean=statistics.fmean(cers),
        words=words,
        utterances=len(system.ids),
        speakers=len({speaker for speaker in system.speakers if speaker is not None}),
    )


def _pairs(
    systems: Sequence[System], test: Callable[[System, System], Comparison]
) -> tuple[PairResult, ...]:
    """Every pair of systems that were scored on the same words."""
    pairs = [
        (a, b)
        for a, b in itertools.combinations(systems, 2)
        if a.ids == b.ids and len(a.ids) > 1 and np.array_equal(a.words, b.words)
    ]
    tests = adjust([test(a, b) for a, b in pairs])
    return tuple(
        PairResult(a.name, b.name, comparison.verdict, comparison)
        for (a, b), comparison in zip(pairs, tests, strict=True)
    )


def by_length(systems: Sequence[System], held_out: bool) -> ByLength | None:
    """None where length cannot show an effect: thirds of fewer than THIRD words, or whose words per
    utterance differ by less than LONGER ×; or systems scored on different words."""
    if not systems or not all(np.array_equal(systems[0].words, s.words) for s in systems):
        return None
    first = systems[0]
    seconds = np.array(first.seconds)
    parts = [np.sort(p) for p in np.array_split(np.argsort(seconds, kind="stable"), 3)]
    words = [int(first.words[part].sum()) for part in parts]
    if min(words) < THIRD or words[-1] / len(parts[-1]) < LONGER * words[0] / len(parts[0]):
        return None

    def growth(a: System, b: System) -> Comparison:
        of_a, of_b = (_growth(system, parts) for system in (a, b))
        return crossed_bootstrap(of_a, of_b, a.words, a.speakers, margin=0.0, held_out=held_out)

    return ByLength(
        seconds=tuple((float(seconds[p].min()), float(seconds[p].max())) for p in parts),
        words=tuple(words),
        wer={
            s.name: tuple(float(s.errors[:, p].sum(1).mean() / s.words[p].sum()) for p in parts)
            for s in systems
        },
        growth=_pairs(systems, growth),
    )


def _growth(system: System, parts: list[Part]) -> NDArray[np.float64]:
    """Weighted errors, (seeds, utterances), whose rate over all words is each seed's WER on the
    longest third minus its WER on the shortest: a contrast to be tested as any other rate.

    An utterance counts by how far its errors are from what its third's WER predicts (the linear
    part of the ratio: Cochran 1977, "Sampling Techniques", §6.3). The contrast itself is spread
    over all words, so that a difference that is the same everywhere adds no noise.
    """
    words, total = system.words, float(system.words.sum())
    counts = np.zeros(system.errors.shape)
    contrast = np.zeros(len(system.errors))
    for part, sign in ((parts[-1], 1.0), (parts[0], -1.0)):
        share = float(words[part].sum())
        rates = system.errors[:, part].sum(1) / share
        residuals = system.errors[:, part] - rates[:, None] * words[part]
        counts[:, part] += sign * total / share * residuals
        contrast += sign * rates
    return counts + contrast[:, None] * words
