"""One training of a comparison, from recipe to result file; what a worker process runs.

A result file is compact and complete: the report is rebuilt from results alone, on any machine.
A file that exists is final, except for faults that may pass (a full disk, an unreadable file).
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from speechgru.checkpoint import load_model
from speechgru.compare.folds import renamed
from speechgru.errors import Diverged, SpeechgruError
from speechgru.evaluation import evaluate_utterances, write_results
from speechgru.files import atomic_write, read_json
from speechgru.manifest import read_manifest
from speechgru.model import macs_per_second, parameter_count
from speechgru.recipe import DataRecipe, Recipe, make_recipe
from speechgru.recognizer import Recognizer
from speechgru.training.loop import TrainingProgress, train
from speechgru.training.state import RunFolder

log = logging.getLogger(__name__)
FORMAT = "speechgru-run-1"
OnStep = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class Task:
    """One training; plain values, so that it can be sent to another process or machine."""

    name: str
    variant: str
    seed: int
    fold: str  # the held-out speaker's name, or ""
    recipe: Recipe
    score: str | None  # manifest to score once; None: a trial, which only dev judges
    audio_root: str  # ids in the result are paths below it
    folder: str
    result: str
    device: str
    threads: int

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"recipe": self.recipe.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> "Task":
        values = json.loads(text)
        return cls(**values | {"recipe": make_recipe(values["recipe"])})

    def finished(self) -> dict[str, Any] | None:
        """Its result, if it has one that stands. Raises SpeechgruError for another recipe's."""
        result = read_result(Path(self.result))
        if result is None or result.get("failed", {}).get("kind") == "fault":
            return None
        if result["recipe"] != fingerprint(self.recipe):
            raise SpeechgruError(
                f"{self.result}: from another recipe or other data; name another folder with --out"
            )
        return result


def fingerprint(recipe: Recipe) -> str:
    """Of what makes a result but its manifests, which the plan names: a folder may be moved."""
    training = recipe.training.model_copy(update={"workers": 0, "cache_mb": 0})
    return recipe.model_copy(update={"training": training, "data": DataRecipe()}).fingerprint()


def read_result(file: Path) -> dict[str, Any] | None:
    """A result file's values, None if there is none. Raises SpeechgruError for a damaged one."""
    if not file.exists():
        return None
    result = read_json(file, "a result that `speechgru compare` wrote")
    if (found := result.get("format")) != FORMAT:
        raise SpeechgruError(f"{file}: expected a result of format {FORMAT!r}, found {found!r:.40}")
    return result


def perform(task: Task, on_step: OnStep = lambda _: None) -> dict[str, Any]:
    """Train (or go on training), score, and write the result file.

    A run that fails leaves a result that says why: the others go on. Raises KeyboardInterrupt when
    the user stopped the training, which is then saved.
    """
    try:
        return _keep(task, _train_and_score(task, on_step))
    except Exception as fault:  # whatever it is, the other runs go on
        log.debug("%s failed", task.name, exc_info=True)
        words = (
            str(fault) if isinstance(fault, SpeechgruError) else f"{type(fault).__name__}: {fault}"
        )
        return failure(task, "diverged" if isinstance(fault, Diverged) else "fault", words)


def failure(task: Task, kind: str, reason: str) -> dict[str, Any]:
    """Write the result file of a run that came to nothing. kind: "diverged" stands, "fault" is
    tried again."""
    failed = {"kind": kind, "reason": " ".join(reason.split())[:500]}
    return _keep(task, {"failed": failed} | _course(RunFolder(Path(task.folder))))


def _keep(task: Task, values: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "format": FORMAT, "run": task.name, "variant": task.variant, "seed": task.seed,
        "fold": task.fold, "recipe": fingerprint(task.recipe),
        "learning_rate": task.recipe.training.learning_rate,
    } | values  # fmt: skip
    atomic_write(task.result, json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n")
    return result


def _train_and_score(task: Task, on_step: OnStep) -> dict[str, Any]:
    folder = Path(task.folder)
    started = RunFolder(folder).started()
    outcome = train(task.recipe, folder, task.device, resume=started, on_progress=on_step)
    if outcome.interrupted:
        raise KeyboardInterrupt
    checkpoint = load_model(folder)
    values = {
        "parameters": parameter_count(checkpoint.model),
        "macs_per_second": macs_per_second(
            checkpoint.model, checkpoint.config.features.frames_per_second
        ),
        "width": checkpoint.config.model.hidden_size,
        "train_hours": checkpoint.metadata["hours"],
        "train_utterances": checkpoint.metadata.get("utterances"),
        "made_by": "speechgru {speechgru}, torch {torch}, {device}".format_map(checkpoint.metadata)
        if "device" in checkpoint.metadata
        else None,
        "weights": checkpoint.metadata["weights"],
        "dev_wer": checkpoint.metadata["dev_wer"],
    }
    values |= _course(RunFolder(folder))
    if task.score is not None:
        values["scored"] = _score(task, folder)
    return values


def _course(run: RunFolder) -> dict[str, Any]:
    """The training epoch by epoch; seconds apart, since they never repeat."""
    rows = run.read_metrics()
    return {
        "curve": [{k: v for k, v in row.to_json().items() if k != "seconds"} for row in rows],
        "timings": {"seconds": [row.seconds for row in rows]},
    }


def _score(task: Task, folder: Path) -> dict[str, Any]:
    """Counts of every utterance, in the manifest's order."""
    assert task.score is not None
    recognizer = Recognizer.load(folder, task.device)
    utterances = renamed(read_manifest(task.score), Path(task.audio_root))
    evaluation = evaluate_utterances(recognizer, utterances)
    for id_, fault in evaluation.failed.items():
        raise SpeechgruError(f"{task.score}: utterance {id_} cannot be scored: {fault}")
    write_results(evaluation, folder / "results" / Path(task.score).stem)
    scored = evaluation.score.utterances
    seconds = {u.id: u.duration for u in utterances}
    return {
        "ids": [u.id for u in scored],
        "speakers": [u.speaker for u in scored],
        "seconds": [seconds[u.id] for u in scored],
        "words": [u.words.reference for u in scored],
        "errors": [u.words.errors for u in scored],
        "characters": [u.characters.reference for u in scored],
        "character_errors": [u.characters.errors for u in scored],
        "hypotheses": [u.hypothesis for u in scored],
    }


def main() -> None:
    """A worker: a task on standard input's first line; when the input closes, the parent is gone,
    and so are we."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    task = Task.from_json(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(task.threads)
    try:
        perform(task)
    except KeyboardInterrupt:
        os._exit(130)
    os._exit(0)  # at once: the thread that waits for input would hold us


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)
