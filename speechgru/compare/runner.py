"""Carries out a plan: tune learning rates on dev, train every run, score each once, measure costs.

Finished work stays finished: after a kill, the same command continues. A result file is compact and
complete: the report is built from results alone, on any machine. It is final, except for errors
that may be temporary (a full disk, an unreadable file); such a run is tried again.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter

from speechgru.checkpoint import MODEL_FILE, load_model
from speechgru.compare.cost import measure_all
from speechgru.compare.folds import fold_manifest
from speechgru.compare.plan import Plan, PlannedRun, make_plan, read_as
from speechgru.compare.spec import ComparisonSpec
from speechgru.errors import Diverged, SpeechgruError
from speechgru.evaluation import evaluate_utterances, write_results
from speechgru.files import atomic_write, exclusive_lock
from speechgru.manifest import read_manifest
from speechgru.model import macs_per_second, parameter_count
from speechgru.recipe import Recipe
from speechgru.recognizer import Recognizer, choose_device
from speechgru.training.loop import TrainingProgress, train
from speechgru.training.state import EpochMetrics, RunFolder, resume_key

log = logging.getLogger(__name__)
FORMAT = "speechgru-run-2"
OnStep = Callable[[TrainingProgress], None]


# Results -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainedModel:
    """The model that a finished training saved."""

    parameters: int
    macs_per_second: float  # multiply-accumulates per second of audio
    hidden_size: int
    train_hours: float
    weights: str  # "epoch 7" or "mean of 10 epochs"
    dev_wer: float
    train_utterances: int | None = None  # None in results of older versions
    made_by: str | None = None  # versions and device


@dataclass(frozen=True)
class Scores:
    """Error counts per utterance of the test (or dev) set, in the manifest's order."""

    ids: tuple[str, ...]
    speakers: tuple[str | None, ...]
    seconds: tuple[float, ...]
    words: tuple[int, ...]
    errors: tuple[int, ...]
    characters: tuple[int, ...]
    character_errors: tuple[int, ...]
    hypotheses: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why there is no model. "diverged" is final; an "error" is tried again."""

    kind: Literal["diverged", "error"]
    reason: str


@dataclass(frozen=True)
class RunResult:
    """One finished training. A failed one has a `failure` and no `model`; a trial of a learning
    rate has no `scores`."""

    run: str  # its name
    variant: str
    seed: int
    fold: str  # of the held-out speaker, or ""
    recipe: str  # fingerprint
    learning_rate: float
    curve: tuple[EpochMetrics, ...] = ()
    model: TrainedModel | None = None
    scores: Scores | None = None
    failure: Failure | None = None


def read_results(folder: Path) -> dict[str, RunResult]:
    """Run name → result, of all result files of a comparison, trials of learning rates included.

    Raises SpeechgruError for a damaged file.
    """
    files = sorted((folder / "results").glob("*.json"))
    return {file.stem: result for file in files if (result := read_result(file)) is not None}


def read_result(file: Path) -> RunResult | None:
    """None if there is no such file. Raises SpeechgruError for a damaged one."""
    if not file.exists():
        return None
    return read_as(RunResult, file, "the result of a run", FORMAT, _from_version_1)


def _from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """Results of `speechgru-run-1`, whose keys were flat and partly had other names."""
    failure = values.get("failed")
    if failure is not None and failure["kind"] == "fault":
        failure = failure | {"kind": "error"}
    seconds = values["timings"]["seconds"]
    return values | {
        "model": values | {"hidden_size": values["width"]} if "width" in values else None,
        "scores": values.get("scored"),
        "failure": failure,
        "curve": [r | {"seconds": s} for r, s in zip(values["curve"], seconds, strict=True)],
    }


# The whole comparison ----------------------------------------------------------------------------


@dataclass(frozen=True)
class RunOptions:
    """How a comparison is carried out; of these only the device affects a result."""

    device: str = "auto"
    threads: int = 1  # per training
    jobs: int = 1  # trainings at a time
    cost: bool = True  # measure times and memory at the end
    on_step: OnStep = lambda _: None


@dataclass(frozen=True)
class Task:
    """One training: plain values that can be sent to another process or machine."""

    run: PlannedRun
    recipe: Recipe
    folder: Path  # of the comparison
    test: str | None  # manifest to score once; None: only dev is scored
    device: str
    threads: int

    @property
    def home(self) -> Path:
        """The run folder."""
        return self.folder / ("runs" if self.run.trial is None else "tuning") / self.run.name

    @property
    def result(self) -> Path:
        return self.folder / "results" / f"{self.run.name}.json"

    def finished(self) -> RunResult | None:
        """Its result, unless it should be tried again. Raises SpeechgruError for the result of
        another recipe."""
        result = read_result(self.result)
        if result is None or (result.failure and result.failure.kind == "error"):
            return None
        if result.recipe != fingerprint(self.recipe):
            raise SpeechgruError(
                f"{self.result}: from another recipe or another version of speechgru; name "
                "another folder with --out"
            )
        return result


def run_comparison(
    spec: ComparisonSpec, folder: str | Path, options: RunOptions = RunOptions()
) -> None:
    """Carry out a comparison in `folder`, or continue it.

    A run that fails leaves a result that says why. Raises SpeechgruError (another comparison in the
    folder, another process running there, unreadable data) and KeyboardInterrupt.
    """
    folder = Path(folder)
    with exclusive_lock(folder, "speechgru compare"):
        plan = make_plan(spec, folder, choose_device(options.device))
        for name, size in plan.sizes.items():
            log.info(
                "%s: hidden size %d, %s parameters, %.1f million multiply-accumulates per second "
                "of audio, %s %+.1f %%", name, size.hidden_size, f"{size.parameters:,}",
                size.macs_per_second / 1e6, spec.match, 100 * (size.ratio - 1),
            )  # fmt: skip
        if plan.learning_rates is None:
            plan = _tune(plan, folder, options)
        tasks = _run_all(plan.runs(), plan, folder, options)
        if options.cost:
            _measure(tasks, folder, options)


def _run_all(runs: list[PlannedRun], plan: Plan, folder: Path, options: RunOptions) -> list[Task]:
    """Carry out the runs that have no result yet, and log the progress."""
    tasks = []
    for run in runs:
        recipe = plan.recipe(run, folder)
        test = plan.spec.test or recipe.data.dev
        if run.fold:
            test = str(fold_manifest(folder, run.fold, "test"))
        scored = test if run.trial is None else None
        tasks.append(Task(run, recipe, folder, scored, options.device, options.threads))
    left = [task for task in tasks if task.finished() is None]
    if len(left) < len(tasks):
        log.info("%d of %d runs are finished already", len(tasks) - len(left), len(tasks))
    began = time.monotonic()
    if options.jobs == 1:
        results = run_here(left, options.on_step)
    else:
        results = run_in_processes(left, options.jobs)
    for done, result in enumerate(results, 1):
        minutes = (time.monotonic() - began) / done * (len(left) - done) / 60
        outcome = f"dev WER {100 * result.model.dev_wer:.2f} %" if result.model else "failed"
        if result.failure:
            outcome += f": {result.failure.reason}"
        log.log(
            logging.WARNING if result.failure else logging.INFO,
            "run %d of %d, %s: %s; about %.0f min left",
            done, len(left), result.run, outcome, minutes,
        )  # fmt: skip
    return tasks


def _tune(plan: Plan, folder: Path, options: RunOptions) -> Plan:
    """Try the learning rates on dev; returns the plan with the choices, which is on disk then."""
    trials: dict[tuple[str, str], list[RunResult]] = {}
    for task in _run_all(plan.trials(), plan, folder, options):
        result = task.finished()
        if result is None:
            raise SpeechgruError(
                f"no result of {task.run.name}: learning rates cannot be chosen on equal terms; "
                "fix the error and run the command again"
            )
        trials.setdefault((task.run.variant, task.run.fold), []).append(result)
    rates: dict[str, dict[str, float]] = {}
    for (variant, fold), results in trials.items():
        rates.setdefault(variant, {})[fold] = choose_rate(results)
        log.info("%s %s: learning rate %g", variant, fold, rates[variant][fold])
    plan = replace(plan, learning_rates=rates)
    plan.save(folder)
    return plan


def choose_rate(trials: Sequence[RunResult]) -> float:
    """The learning rate of the lowest dev WER; then of the lowest last dev CER; then the lowest.
    Raises SpeechgruError when every trial failed."""
    ranked = [
        (trial.model.dev_wer, [e.dev_cer for e in trial.curve if e.dev_cer is not None][-1:],
         trial.learning_rate)
        for trial in trials if trial.model is not None
    ]  # fmt: skip
    if not ranked:
        names = ", ".join(trial.run for trial in trials)
        raise SpeechgruError(f"every learning rate failed ({names}): give lower ones to --tune lr=")
    return min(ranked)[-1]


def _measure(tasks: Sequence[Task], folder: Path, options: RunOptions) -> None:
    """The cost of each variant, by its first finished run whose model is present."""
    folders: dict[str, Path] = {}
    for task in tasks:
        result = task.finished()
        if result and result.scores and (task.home / MODEL_FILE).exists():
            folders.setdefault(task.run.variant, task.home)
    known = measure_all(folders, folder / "cost.json", options.device)
    for name in dict.fromkeys(task.run.variant for task in tasks):
        if name not in folders and name not in known:
            log.warning("the cost of %s is not measured: none of its trained models exists", name)


# Where trainings run -----------------------------------------------------------------------------


def run_here(tasks: Sequence[Task], on_step: OnStep = lambda _: None) -> Iterator[RunResult]:
    """One after another in this process, with live progress."""
    for task in tasks:
        before = torch.get_num_threads()
        torch.set_num_threads(task.threads)
        try:
            result = perform(task, on_step)
        finally:
            torch.set_num_threads(before)
        yield result


def run_in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[RunResult]:
    """`jobs` processes at a time, each with `task.threads` threads, logging to RUN/worker.log;
    results come as they finish. A worker ends when this process does."""
    waiting = list(tasks)
    running: dict[subprocess.Popen[bytes], Task] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                running[_start(task)] = task
            for process in [p for p in running if p.poll() is not None]:
                task = running.pop(process)
                _close_input(process)
                yield _outcome(task, process.returncode)
            time.sleep(0.05)
    finally:
        for process in running:
            process.terminate()  # like Ctrl-C: the worker saves its state, then exits
        for process in running:
            process.wait()
            _close_input(process)


def _start(task: Task) -> "subprocess.Popen[bytes]":
    threads = str(task.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    task.home.mkdir(parents=True, exist_ok=True)
    with open(task.home / "worker.log", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from speechgru.compare.runner import main; main()"],
            stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment,
            start_new_session=True,  # Ctrl-C reaches only us: a second signal would stop it unsaved
        )  # fmt: skip
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has exited already, which its status will show
        process.stdin.write(TypeAdapter(Task).dump_json(task) + b"\n")
        process.stdin.flush()
    return process


def _close_input(process: "subprocess.Popen[bytes]") -> None:
    """It was open to show the worker that we are alive."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


def _outcome(task: Task, status: int) -> RunResult:
    if status == 130:
        raise KeyboardInterrupt
    result = read_result(task.result)
    if status == 0 and result is not None:
        return result
    reason = f"its process ended with status {status}; see {task.home}/worker.log"
    return _fail(task, "error", reason)


def main() -> None:
    """A worker: reads a task from the first line of standard input, and exits at once when that
    input closes, because then the parent has ended."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    task = TypeAdapter(Task).validate_json(sys.stdin.readline())
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    torch.set_num_threads(task.threads)
    try:
        perform(task)
    except KeyboardInterrupt:
        os._exit(130)
    os._exit(0)  # without waiting for the thread that reads the input


# One training ------------------------------------------------------------------------------------


def perform(task: Task, on_step: OnStep = lambda _: None) -> RunResult:
    """Train (or resume training), score, and write the result file, also if the run fails. Raises
    KeyboardInterrupt when the user stopped the training, whose state is then saved."""
    try:
        model = _train(task, on_step)
        scores = _score(task, task.test) if task.test is not None else None
        return _saved(task, replace(_course(task), model=model, scores=scores))
    except Exception as error:  # whatever it is, the other runs continue
        log.debug("%s failed", task.run.name, exc_info=True)
        reason = str(error) if isinstance(error, SpeechgruError) else repr(error)
        return _fail(task, "diverged" if isinstance(error, Diverged) else "error", reason)


def _fail(task: Task, kind: Literal["diverged", "error"], reason: str) -> RunResult:
    failure = Failure(kind, " ".join(reason.split())[:500])
    return _saved(task, replace(_course(task), failure=failure))


def _saved(task: Task, result: RunResult) -> RunResult:
    values = {"format": FORMAT, **asdict(result)}
    atomic_write(task.result, json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")
    return result


def _course(task: Task) -> RunResult:
    """What is known before the model is: names, and the training epoch by epoch."""
    curve, run = tuple(RunFolder(task.home).read_metrics()), task.run
    rate = task.recipe.training.learning_rate
    recipe = fingerprint(task.recipe)
    return RunResult(run.name, run.variant, run.seed, run.fold, recipe, rate, curve)


def fingerprint(recipe: Recipe) -> str:
    """Of the settings that affect a result; data are compared by the plan."""
    text = json.dumps(resume_key(recipe), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _train(task: Task, on_step: OnStep) -> TrainedModel:
    started = RunFolder(task.home).started()
    outcome = train(task.recipe, task.home, task.device, resume=started, on_progress=on_step)
    if outcome.interrupted:
        raise KeyboardInterrupt
    checkpoint = load_model(task.home)
    config, about = checkpoint.config, checkpoint.metadata
    return TrainedModel(
        parameter_count(checkpoint.model),
        macs_per_second(checkpoint.model, config.features.frames_per_second),
        config.model.hidden_size,
        about["hours"],
        about["weights"],
        about["dev_wer"],
        about["utterances"],
        f"speechgru {about['speechgru']}, torch {about['torch']}, {about['device']}",
    )


def _score(task: Task, manifest: str) -> Scores:
    recognizer = Recognizer.load(task.home, task.device)
    utterances = read_manifest(manifest)
    evaluation = evaluate_utterances(recognizer, utterances)
    for id_, reason in evaluation.failed.items():
        raise SpeechgruError(f"{manifest}: utterance {id_} cannot be scored: {reason}")
    write_results(evaluation, task.home / "results" / Path(manifest).stem)
    scored = evaluation.score.utterances
    seconds = {u.id: u.duration for u in utterances}
    return Scores(
        ids=tuple(u.id for u in scored),
        speakers=tuple(u.speaker for u in scored),
        seconds=tuple(seconds[u.id] for u in scored),
        words=tuple(u.words.reference for u in scored),
        errors=tuple(u.words.errors for u in scored),
        characters=tuple(u.characters.reference for u in scored),
        character_errors=tuple(u.characters.errors for u in scored),
        hypotheses=tuple(u.hypothesis for u in scored),
    )
