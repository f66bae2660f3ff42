"""Carries out a plan: tune learning rates on dev, train every run, score each once, measure costs.

Finished work stays finished: after a kill, the same command continues. A result file is compact and
complete: the report is built from results alone, on any machine. It is final, except for errors
that may be temporary (a full disk, an unreadable file); such a run is tried again.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from speechgru.checkpoint import MODEL_FILE, load_model
from speechgru.compare.cost import measure_all
from speechgru.compare.folds import fold_manifest
from speechgru.compare.plan import TRIAL_SEED, Plan, PlannedRun, make_plan
from speechgru.compare.spec import ComparisonSpec
from speechgru.errors import CheckpointError, Diverged, SpeechgruError
from speechgru.evaluation import evaluate_utterances, write_results
from speechgru.files import Json, atomic_write, exclusive_lock, read_dataclass
from speechgru.manifest import read_manifest
from speechgru.measure import torch_threads
from speechgru.recipe import Recipe
from speechgru.recognizer import Recognizer, choose_device
from speechgru.training.loop import TrainingProgress, train
from speechgru.training.state import EpochMetrics, RunFolder, digest, resume_key
from speechgru.workers import INTERRUPTED, Work, run_workers, serve

log = logging.getLogger(__name__)
FORMAT = "speechgru-run-2"
OnStep = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class TrainedModel:
    """The model that a finished training saved."""

    train_hours: float
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

    def __post_init__(self) -> None:
        if len({len(getattr(self, field.name)) for field in fields(self)}) > 1:
            raise ValueError("scores of different numbers of utterances")


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

    def __post_init__(self) -> None:
        if (self.model or self.scores) and not self.curve:
            raise ValueError("a finished training without epochs")


def read_results(folder: Path) -> dict[str, RunResult]:
    """Run name → result, trials of learning rates included. Raises SpeechgruError: damaged file."""
    files = sorted((folder / "results").glob("*.json"))
    return {file.stem: result for file in files if (result := read_result(file)) is not None}


def read_result(file: Path) -> RunResult | None:
    """None if there is no such file. Raises SpeechgruError for a damaged one."""
    if not file.exists():
        return None
    return read_dataclass(file, RunResult, "the result of a run", FORMAT, _from_version_1)


def _from_version_1(values: Json) -> Json:
    """Results of `speechgru-run-1`, whose keys were flat and partly had other names."""
    failure = values.get("failed")
    if failure is not None and failure["kind"] == "fault":
        failure = failure | {"kind": "error"}
    seconds = values["timings"]["seconds"]
    return values | {
        "model": None if failure else values,
        "scores": values.get("scored"),
        "failure": failure,
        "curve": [r | {"seconds": s} for r, s in zip(values["curve"], seconds, strict=True)],
    }


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
        return run_folder(self.folder, self.run)

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


def run_folder(folder: Path, run: PlannedRun) -> Path:
    """Of one training in a comparison's folder."""
    return folder / ("runs" if run.trial is None else "tuning") / run.name


def run_comparison(
    spec: ComparisonSpec, folder: str | Path, options: RunOptions = RunOptions()
) -> None:
    """Carry out a comparison in `folder`, or continue it; a run that fails leaves a result that
    says why. Raises SpeechgruError (another comparison in the folder, another process running
    there, unreadable data) and KeyboardInterrupt."""
    folder = Path(folder)
    with exclusive_lock(folder, "speechgru compare"):
        plan = make_plan(spec, folder, choose_device(options.device))
        for name, size in plan.sizes.items():
            log.info(
                "%s: hidden size %d, %s parameters, %.1f million multiply-accumulates per second "
                "of audio", name, size.hidden_size, f"{size.parameters:,}",
                size.macs_per_second / 1e6,
            )  # fmt: skip
        if plan.learning_rates is None:
            plan = _tune(plan, folder, options)
        _reuse_trials(plan, folder)
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
        log.info("finished already: %d of %d runs", len(tasks) - len(left), len(tasks))
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
    trials: dict[str, dict[str, list[RunResult]]] = {}  # variant → fold → results
    for task in _run_all(plan.trials(), plan, folder, options):
        result, run = task.finished(), task.run
        if result is None:
            raise SpeechgruError(
                f"no result of {run.name}: learning rates cannot be chosen on equal terms; "
                "fix the error and run the command again"
            )
        trials.setdefault(run.variant, {}).setdefault(run.fold, []).append(result)
    if not any(t.model for folds in trials.values() for tried in folds.values() for t in tried):
        raise SpeechgruError(
            "every variant diverged at every learning rate: pass lower ones with "
            "--tune lr=… and another folder with --out"
        )
    rates = {v: {fold: choose_rate(r) for fold, r in folds.items()} for v, folds in trials.items()}
    log.info("learning rates: %s", rates)
    plan = replace(plan, learning_rates=rates)
    plan.save(folder)
    return plan


def _reuse_trials(plan: Plan, folder: Path) -> None:
    """Move the trainings of the chosen learning rates to the runs that would repeat them: same
    recipe, same seed."""
    chosen = plan.learning_rates or {}
    runs = {(run.variant, run.fold): run for run in plan.runs() if run.seed == TRIAL_SEED}
    for trial in plan.trials():
        old, new = run_folder(folder, trial), run_folder(folder, runs[trial.variant, trial.fold])
        if trial.trial == chosen[trial.variant][trial.fold] and old.exists() and not new.exists():
            new.parent.mkdir(exist_ok=True)
            old.rename(new)


def choose_rate(trials: Sequence[RunResult]) -> float:
    """The learning rate of the lowest dev WER; then of the lowest last dev CER; then the lowest,
    also where every trial diverged: the runs will show it, and the other variants are compared."""
    last_cers = [[row.dev_cer for row in t.curve if row.dev_cer is not None][-1:] for t in trials]
    ranked = [
        (trial.model.dev_wer, cer, trial.learning_rate)
        for trial, cer in zip(trials, last_cers, strict=True) if trial.model
    ]  # fmt: skip
    return min(ranked)[-1] if ranked else min(trial.learning_rate for trial in trials)


def _measure(tasks: Sequence[Task], folder: Path, options: RunOptions) -> None:
    """The cost of each variant, by its first finished run whose model is present."""
    runs: dict[str, tuple[Path, Recipe]] = {}
    for task in tasks:
        result = task.finished()
        if result and result.scores and (task.home / MODEL_FILE).exists():
            runs.setdefault(task.run.variant, (task.home, task.recipe))
    known = measure_all(runs, folder / "cost.json", options.device)
    for name in dict.fromkeys(task.run.variant for task in tasks):
        if name not in runs and name not in known:
            log.warning("the cost of %s is not measured: none of its trained models exists", name)


def run_here(tasks: Sequence[Task], on_step: OnStep = lambda _: None) -> Iterator[RunResult]:
    """One after another in this process, with live progress."""
    for task in tasks:
        with torch_threads(task.threads):
            result = perform(task, on_step)
        yield result


def run_in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[RunResult]:
    """`jobs` at a time, each in a process that logs to RUN/worker.log; results as they finish."""
    adapter = TypeAdapter(Task)
    work = {
        Work(adapter.dump_json(task).decode(), task.home / "worker.log", task.threads): task
        for task in tasks
    }
    program = "from speechgru.compare.runner import worker; worker()"
    for each, status in run_workers(program, list(work), jobs):
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        result = read_result(work[each].result) if status == 0 else None
        reason = f"its process ended with status {status}; see {each.log}"
        yield result or _fail(work[each], "error", reason)


def worker() -> None:
    """In a process of its own: one task, from standard input."""
    serve(lambda text: list(run_here([TypeAdapter(Task).validate_json(text)])))


def perform(task: Task, on_step: OnStep = lambda _: None) -> RunResult:
    """Train (or resume training), score, and write the result file, also if the run fails. Raises
    KeyboardInterrupt when the user stopped the training, whose state is then saved."""
    try:
        model = _train(task, on_step)
        folder = RunFolder(task.home)
        if not (curve := folder.read_metrics()):
            raise SpeechgruError(
                f"{folder.metrics}: no epochs of a finished training; restore the file, or delete "
                f"{task.home} to train again"
            )
        scores = _score(task, task.test) if task.test is not None else None
        return _saved(task, replace(_course(task, curve), model=model, scores=scores))
    except Exception as error:  # whatever it is, the other runs continue
        log.debug("%s failed", task.run.name, exc_info=True)
        reason = str(error) if isinstance(error, SpeechgruError) else repr(error)
        return _fail(task, "diverged" if isinstance(error, Diverged) else "error", reason)


def _fail(task: Task, kind: Literal["diverged", "error"], reason: str) -> RunResult:
    failure = Failure(kind, " ".join(reason.split())[:500])
    curve: list[EpochMetrics] = []
    with contextlib.suppress(CheckpointError):  # a damaged file may be the failure
        curve = RunFolder(task.home).read_metrics()
    return _saved(task, replace(_course(task, curve), failure=failure))


def _saved(task: Task, result: RunResult) -> RunResult:
    values = {"format": FORMAT, **asdict(result)}
    atomic_write(task.result, json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")
    return result


def _course(task: Task, curve: Sequence[EpochMetrics]) -> RunResult:
    """What is known before the model is: names, and the training epoch by epoch."""
    run, rate = task.run, task.recipe.training.learning_rate
    recipe = fingerprint(task.recipe)
    return RunResult(run.name, run.variant, run.seed, run.fold, recipe, rate, tuple(curve))


def fingerprint(recipe: Recipe) -> str:
    """Of the settings that affect a result; data are compared by the plan."""
    return digest(resume_key(recipe))


def _train(task: Task, on_step: OnStep) -> TrainedModel:
    started = RunFolder(task.home).started()
    outcome = train(task.recipe, task.home, task.device, started, on_step, threads=task.threads)
    if outcome.interrupted:
        raise KeyboardInterrupt
    about = load_model(task.home).metadata
    made_by = "speechgru {speechgru}, torch {torch}, {device}".format_map(about)
    return TrainedModel(about["hours"], about["dev_wer"], about["utterances"], made_by)


def _score(task: Task, manifest: str) -> Scores:
    recognizer = Recognizer.load(task.home, task.device, decoder="greedy")
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
