"""Plans and results of trainings that never took place."""

from collections.abc import Sequence
from typing import Any

from speechgru.compare.analysis import Analysis, analyse
from speechgru.compare.convergence import Convergence, convergence
from speechgru.compare.matching import ModelSize
from speechgru.compare.plan import Plan
from speechgru.compare.runner import Failure, RunResult, Scores, TrainedModel
from speechgru.compare.spec import ComparisonSpec
from speechgru.recipe import Recipe
from speechgru.training.state import EpochMetrics

MODEL = TrainedModel(1.0, 0.5, 100, "speechgru 1, torch 2, cpu")
SPEAKERS = ("ann", "bob", "cy", "dee", "eve", "flo")


def run(seed: int, *dev_wer: float, failed: bool = False, fold: str = "") -> RunResult:
    """A training of these dev WERs after 100, 200, … steps."""
    curve = tuple(
        EpochMetrics(k, 100 * k, 0.01, 2.0 * k, loss=wer, dev_wer=wer, dev_cer=0.8 * wer)
        for k, wer in enumerate(dev_wer, 1)
    )
    return RunResult(
        run="run", variant="", seed=seed, fold=fold, recipe="", learning_rate=0.01, curve=curve,
        model=None if failed else MODEL,
        failure=Failure("diverged", "NaN") if failed else None,
    )  # fmt: skip


def trained(**runs: list[RunResult]) -> Convergence:
    whole = {name: [r for r in each if not r.failure] for name, each in runs.items()}
    failed = {name: [r for r in each if r.failure] for name, each in runs.items()}
    return convergence(whole, failed)


def scores(
    errors: Sequence[int],
    words: int | Sequence[int] = 10,
    speakers: Sequence[str | None] | None = None,
    seconds: Sequence[float] | None = None,
) -> Scores:
    """Of one utterance per count of errors, by six speakers in turn."""
    count = len(errors)
    all_words = (words,) * count if isinstance(words, int) else tuple(words)
    return Scores(
        ids=tuple(map(str, range(count))),
        speakers=tuple(speakers or (SPEAKERS[k % 6] for k in range(count))),
        seconds=tuple(seconds or (1.0,) * count),
        words=all_words,
        errors=tuple(errors),
        characters=tuple(5 * n for n in all_words),
        character_errors=tuple(errors),
        hypotheses=("",) * count,
    )


def compared(
    errors: dict[str, list[Sequence[int]]],
    key: str = "model.cell",
    changes: dict[str, RunResult | None] | None = None,
    costs: dict[str, Any] | None = None,
    **spec: Any,
) -> Analysis:
    """The analysis of a comparison; `errors`: variant → errors per utterance, for every seed.

    `changes` replaces results by their runs' names; None takes one away.
    """
    seeds = max(len(each) for each in errors.values())
    variants = {name: name for name in errors}
    terms = {"seeds": seeds, "test": "data/test.jsonl"} | spec
    plan = Plan(
        ComparisonSpec(Recipe(), key, variants, **terms),
        {name: ModelSize(8, 1000, 1e6, 1.0, True) for name in errors},
        learning_rates={name: {"": 0.01} for name in errors},
    )
    results = {
        f"{name}-seed{seed}": finished(name, seed, scores(counts))
        for name, each in errors.items()
        for seed, counts in enumerate(each, 1)
    }
    changed = {name: r for name, r in (results | (changes or {})).items() if r is not None}
    return analyse(plan, changed, costs or {})


def finished(variant: str, seed: int, scored: Scores, **changes: Any) -> RunResult:
    values = run(seed, 0.9, 0.2, 0.2).__dict__ | {
        "run": f"{variant}-seed{seed}", "variant": variant, "scores": scored
    }  # fmt: skip
    return RunResult(**values | changes)
