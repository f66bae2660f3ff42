"""What one training of a comparison leaves: a result file that is compact and complete, so that the
report is rebuilt from results alone, on any machine."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from speechgru.errors import SpeechgruError

FORMAT = "speechgru-run-2"


@dataclass(frozen=True)
class Epoch:
    """A row of the training curve; None where nothing was measured in this epoch."""

    epoch: int
    step: int
    learning_rate: float
    skipped_steps: int = 0  # so far
    skipped_utterances: int = 0
    loss: float | None = None
    grad_norm_median: float | None = None
    grad_norm_max: float | None = None
    dev_wer: float | None = None
    dev_cer: float | None = None


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
    fold: str  # the held-out speaker's folder, or ""
    recipe: str  # fingerprint
    learning_rate: float
    curve: tuple[Epoch, ...] = ()
    seconds: tuple[float, ...] = ()  # of training until the end of each epoch
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
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["format"] == "speechgru-run-1":
            values = _from_version_1(values)
        elif values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r}")
        return TypeAdapter(RunResult).validate_python(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise SpeechgruError(f"{file}: not the result of a run ({reason:.200})") from None


def _from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """Results of `speechgru-run-1`, whose keys were flat and partly had other names."""
    failed = values.get("failed")
    if failed is not None and failed["kind"] == "fault":
        failed = failed | {"kind": "error"}
    return values | {
        "model": values | {"hidden_size": values["width"]} if "width" in values else None,
        "scores": values.get("scored"),
        "failure": failed,
        "seconds": values["timings"]["seconds"],
    }
