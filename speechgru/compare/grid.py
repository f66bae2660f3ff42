"""The course of a comparison: plan, tune on dev, train, score once, measure cost, report.

Everything that is finished stays finished: the same command after a kill goes on where it was.
"""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.checkpoint import MODEL_FILE
from speechgru.compare.analysis import Analysis
from speechgru.compare.cost import measure_all
from speechgru.compare.place import Here, Place, Workers
from speechgru.compare.plan import _OldPlan as Plan
from speechgru.compare.plan import make_plan
from speechgru.compare.question import Question
from speechgru.compare.report import write_report
from speechgru.compare.work import OnStep, Task
from speechgru.errors import SpeechgruError
from speechgru.files import exclusive_lock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """With what a comparison is carried out; none of it but the device changes a result."""

    device: str = "auto"  # a GPU trains in bfloat16; results tell what each run was trained on
    threads: int = 1  # of each training
    jobs: int = 1  # trainings at a time
    cost: bool = True  # measure times and memory when the grid is through
    on_step: OnStep = lambda _: None

    def place(self) -> Place:
        return Here(self.on_step) if self.jobs == 1 else Workers(self.jobs)


def compare(question: Question, folder: str | Path, means: Means = Means()) -> Analysis:
    """Carry out a comparison in `folder`, or continue it.

    Failed runs are named in the results. Raises SpeechgruError (another comparison in the folder,
    another process at work in it, data that cannot be read) and KeyboardInterrupt.
    """
    folder = Path(folder)
    with exclusive_lock(folder, "speechgru compare"):
        plan = make_plan(question, folder)
        _tell_terms(plan)
        if plan.rates is None:
            _tune(plan, means)
        _run_all(list(plan.runs(means.device, means.threads)), means.place())
        if means.cost:
            _measure(plan, means)
        return write_report(folder)


def _measure(plan: Plan, means: Means) -> None:
    """What each variant costs, from its first whole run whose model is here, one after another."""
    folders: dict[str, Path] = {}
    for task in plan.runs(means.device, means.threads):
        model = Path(task.folder) / MODEL_FILE
        if "scored" in (task.finished() or {}) and os.path.exists(model):
            folders.setdefault(task.variant, model.parent)
    known = measure_all(folders, plan.folder / "cost.json", means.device)
    for name in plan.sizes.keys() - folders.keys() - known.keys():
        log.warning("the cost of %s is not measured: no trained model of it is here", name)


def _tell_terms(plan: Plan) -> None:
    for name, size in plan.sizes.items():
        log.info(
            "%s: width %d, %s parameters, %.1f million multiply-accumulates a second of audio%s",
            name, size.width, f"{size.parameters:,}", size.macs_per_second / 1e6,
            "" if plan.question.match == "width"
            else f" ({plan.question.match} {100 * (size.ratio - 1):+.1f} %)",
        )  # fmt: skip


# Tuning ------------------------------------------------------------------------------------------


def _tune(plan: Plan, means: Means) -> None:
    """Try the grid on dev, choose for each variant (and fold), and put the choice on disk."""
    tasks = list(plan.trials(means.device, means.threads))
    _run_all(tasks, means.place())
    results = [result for task in tasks if (result := task.finished()) is not None]
    missing = [task.name for task in tasks if task.finished() is None]
    if missing:
        raise SpeechgruError(
            "learning rates cannot be chosen on equal terms: no result of "
            f"{', '.join(missing[:3])}; mend the fault and run the command again"
        )
    rates: dict[str, dict[str, float]] = {}
    for variant in plan.sizes:
        for fold in dict.fromkeys(task.fold for task in tasks):
            mine = [r for r in results if r["variant"] == variant and r["fold"] == fold]
            rates.setdefault(variant, {})[fold] = choose_rate(mine)
    plan.rates = rates
    plan.save()
    for variant, chosen in rates.items():
        log.info("%s: learning rate %s", variant, ", ".join(f"{r:g}" for r in chosen.values()))


def choose_rate(trials: Sequence[dict[str, Any]]) -> float:
    """The learning rate of the lowest dev WER; then of the lowest last dev CER; then the lowest.
    Raises SpeechgruError when every trial failed."""
    whole = [trial for trial in trials if "failed" not in trial]
    if not whole:
        names = ", ".join(trial["run"] for trial in trials)
        raise SpeechgruError(f"every learning rate failed ({names}): give lower ones to --tune lr=")
    best = min(whole, key=lambda t: (t["dev_wer"], _last_cer(t), t["learning_rate"]))
    return float(best["learning_rate"])


def _last_cer(trial: dict[str, Any]) -> float:
    return float([row["dev_cer"] for row in trial["curve"] if "dev_cer" in row][-1])


# Running -----------------------------------------------------------------------------------------


def _run_all(tasks: list[Task], place: Place) -> None:
    """Carry out the tasks that have no result yet, saying how far we are."""
    left = [task for task in tasks if task.finished() is None]
    if len(left) < len(tasks):
        log.info("%d of %d runs are finished already", len(tasks) - len(left), len(tasks))
    began = time.monotonic()
    for done, (task, result) in enumerate(place.run(left), 1):
        per_run = (time.monotonic() - began) / done
        minutes = per_run * (len(left) - done) / 60
        log.log(
            logging.WARNING if "failed" in result else logging.INFO,
            "run %d of %d, %s: %s; about %.0f min left",
            done, len(left), task.name, _outcome(result), minutes,
        )  # fmt: skip


def _outcome(result: dict[str, Any]) -> str:
    if "failed" in result:
        return f"failed: {result['failed']['reason']}"
    dev = f"dev WER {100 * result['dev_wer']:.2f} %"
    if "scored" not in result:
        return dev
    scored = result["scored"]
    return f"{dev}, WER {100 * sum(scored['errors']) / max(sum(scored['words']), 1):.2f} %"
