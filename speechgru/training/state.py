"""A training run on disk, so that a kill at any instant loses at most the work since the last save.

RUN/last.safetensors   weights, optimiser and TrainingState: the only file that `--resume` trusts
RUN/model.safetensors  the best model so far
RUN/recipe.yaml        the resolved recipe
RUN/excluded.json      ids of excluded utterances by reason; no file if there are none
RUN/kept/              weights of the best epochs, to be averaged; listed in last.safetensors
RUN/metrics.jsonl      one line per epoch (`seconds`: of training steps so far; no `loss` if all
                       steps were skipped); the same as TensorBoard events in RUN/events/
RUN/.lock              held while a training runs in the folder

Several processes: only the first would write here.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor

from speechgru.checkpoint import MODEL_FILE, Checkpoint, read_tensors, write_tensors
from speechgru.errors import CheckpointError, TrainingError, reason_of
from speechgru.files import atomic_write, write_json
from speechgru.recipe import Recipe
from speechgru.training.fine_tuning import may_differ

STATE_FORMAT = "speechgru-state-5"  # from 5 on, with offsets and the CER of kept epochs
OLD_STATE_FORMATS = tuple(f"speechgru-state-{number}" for number in range(1, 5))
WEIGHTS_FORMAT = "speechgru-weights-1"
RESOURCE_KEYS = {"training.workers", "training.cache_mb"}  # of the recipe
# Recipe keys that change nothing in the result. Which data a run uses is compared by content, with
# TrainingData.fingerprint().
FREE_KEYS = {
    *RESOURCE_KEYS,
    "training.max_bad_steps",
    *("data.train", "data.dev", "data.max_seconds", "augment.noise_manifest"),
}


@dataclass
class TrainingState:
    """The progress of a run. `batch` counts the finished batches of the current epoch."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    step_seconds: float = 0.0  # spent in training steps, over all sessions
    evaluation_seconds: float = 0.0  # spent evaluating dev
    elapsed: float = 0.0  # wall-clock seconds over all sessions, up to the last save
    best_wer: float | None = None  # on dev, and CER and training loss (per token) of that epoch
    best_cer: float | None = None
    best_loss: float | None = None
    learned: bool = False  # whether an evaluation was better than empty texts, see selection
    evaluations_without_improvement: int = 0  # since then
    skipped_steps: int = 0
    skipped_utterances: int = 0  # each time that one could not be used
    bad_steps_in_a_row: int = 0
    loss_sum: float = 0.0  # of the current epoch, over its tokens
    token_count: int = 0
    gradient_norms: list[float] = field(default_factory=list)  # of its steps, before clipping
    kept: list[tuple[float, float, int]] = field(default_factory=list)  # (dev WER, CER, epoch)
    vocabulary: dict[str, object] = field(default_factory=dict)
    recipe: dict[str, object] = field(default_factory=dict)  # see resume_key()
    initial: str = ""  # fingerprint of the model that was fine-tuned
    data: dict[str, str | int] = field(default_factory=dict)  # see TrainingData.fingerprint()


@dataclass(frozen=True)
class EpochMetrics:
    """A line of metrics.jsonl. Counts and `seconds` are since the start of the run; what an epoch
    did not measure is None, and absent from the file."""

    epoch: int
    step: int
    learning_rate: float
    seconds: float  # spent in training steps
    skipped_steps: int = 0
    skipped_utterances: int = 0
    loss: float | None = None  # per token
    grad_norm_median: float | None = None
    grad_norm_max: float | None = None
    dev_wer: float | None = None
    dev_cer: float | None = None

    def to_json(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def resume_key(recipe: Recipe) -> dict[str, object]:
    """The values of a recipe that determine the result, by "section.key"."""
    return {
        f"{section}.{key}": value
        for section, values in recipe.model_dump(mode="json").items()
        for key, value in values.items()
        if f"{section}.{key}" not in FREE_KEYS
    }


def digest(values: Mapping[str, object]) -> str:
    """Sixteen hex digits that change when any value does."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class RunFolder:
    """The folder of one training run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / MODEL_FILE
        self.last = path / "last.safetensors"
        self.metrics = path / "metrics.jsonl"

    def started(self) -> bool:
        """Whether there is a run to resume."""
        return os.path.exists(self.last)

    def check_unused(self) -> None:
        """Raises TrainingError when the folder contains a run."""
        if self.started():
            raise TrainingError(
                f"{self.path}: already contains a run: use --resume to continue it, or name "
                "another folder with --out"
            )
        if os.path.exists(self.model):  # the disk was full before the first save, or last is gone
            raise TrainingError(
                f"{self.path}: contains a model, but no {self.last.name} to resume from: name "
                f"another folder with --out, or delete {self.model.name} if it is not needed"
            )

    def check_started(self) -> None:
        """Raises TrainingError when there is no run to resume."""
        if not self.started():
            self.check_unused()
            raise TrainingError(f"{self.path}: no run to resume; start one without --resume")

    def check_models(self, state: TrainingState) -> None:
        """Raises TrainingError when the model of the best epoch, or weights to be averaged at the
        end, are not there any more."""
        if state.best_wer is not None and not os.path.exists(self.model):
            raise TrainingError(
                f"{self.model}: missing, and its dev WER of {100 * state.best_wer:.2f} % may not "
                "be reached again: put the file back, or start a new run in another folder"
            )
        for file in (self._kept(epoch) for *_, epoch in state.kept):
            if not os.path.exists(file):
                raise TrainingError(
                    f"{file}: missing, and training.average needs it: put the file back, or start "
                    "a new run in another folder"
                )

    def write_inputs(self, recipe: Recipe, excluded: dict[str, list[str]]) -> None:
        """Write what a run was given; when it resumes, its data may have moved."""
        atomic_write(self.path / "recipe.yaml", recipe.to_yaml(), TrainingError)
        if excluded:
            write_json(self.path / "excluded.json", excluded, TrainingError)
        else:  # there is one if an earlier start excluded some
            (self.path / "excluded.json").unlink(missing_ok=True)

    def check_same_recipe(self, state: TrainingState, recipe: Recipe) -> None:
        """Raises TrainingError when `recipe` would not give the result of this run's recipe."""
        old, new = state.recipe, resume_key(recipe)
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        changed = [f"{key}: {old.get(key)!r} → {new.get(key)!r}" for key in keys]
        hint = ""
        if old.get("training.epochs") != new.get("training.epochs"):
            hint = "; another number of epochs changes the learning rate of every step"
        if state.initial:  # what the recipe does not state is the initial model's
            hint += "; it fine-tunes a model, which --init must name here too"
        hint += "; repeat the settings of the first command"
        self._refuse("the recipe", changed, hint, all(map(may_differ, keys)))

    def check_same_initial(self, state: TrainingState, fingerprint: str) -> None:
        """Raises TrainingError when this run started from another model, or from none."""
        if state.initial != fingerprint:
            found = state.initial or "no model"
            changed = [f"{found} → {fingerprint}"]
            self._refuse("the initial model", changed, "; repeat the first command's --init")

    def check_same_data(self, state: TrainingState, data: dict[str, str | int]) -> None:
        """Raises TrainingError when `data` is not the fingerprint of this run's data."""
        changed = [
            f"{key}: {state.data.get(key)} → {value}" if isinstance(value, int) else key
            for key, value in data.items()
            if state.data.get(key) != value
        ]
        self._refuse("the data", changed, "; restore the manifests and audio files")

    def _refuse(self, what: str, changed: list[str], hint: str, fits: bool = True) -> None:
        """`fits`: this run's weights can be the first ones of a run with the change."""
        if changed:
            more = " …" if len(changed) > 3 else ""
            init = f"; --init {self.path} would begin with this run's best weights"
            raise TrainingError(
                f"{self.path}: cannot be resumed, {what} changed ({'; '.join(changed[:3])}{more})"
                f"{hint}, or start a new run with another --out"
                f"{init if fits and os.path.exists(self.model) else ''}"
            )

    def save_state(
        self, state: TrainingState, checkpoint: Checkpoint, optimiser: torch.optim.Optimizer
    ) -> None:
        """The commit point: whatever else was written counts only once this is."""
        tensors = {f"model.{name}": t for name, t in checkpoint.model.state_dict().items()}
        tensors |= {
            f"optimiser.{index}.{key}": torch.as_tensor(value)
            for index, values in optimiser.state_dict()["state"].items()
            for key, value in values.items()
        }
        extract = checkpoint.extract
        if extract.mean is not None and extract.std is not None:
            tensors["features.mean"], tensors["features.std"] = extract.mean, extract.std
        write_tensors(self.last, tensors, STATE_FORMAT, asdict(state))

    def load_state(self) -> tuple[TrainingState, dict[str, Tensor]]:
        """Raises CheckpointError when the state is damaged or of an older version."""
        found, tensors, details = read_tensors(self.last, STATE_FORMAT, *OLD_STATE_FORMATS)
        if found != STATE_FORMAT:
            raise CheckpointError(
                f"{self.last}: saved by an older version of speechgru; this version can use its "
                "model but not resume the run; start a new one with another --out"
            )
        try:
            state = TrainingState(**details)
            state.kept = [(float(w), float(c), int(epoch)) for w, c, epoch in state.kept]
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{self.last}: not a usable training state: {error}") from None
        return state, tensors

    def restore(
        self,
        tensors: dict[str, Tensor],
        checkpoint: Checkpoint,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        """Put saved tensors back. Raises CheckpointError when they do not fit the model."""
        weights = {n.removeprefix("model."): t for n, t in tensors.items() if n[:6] == "model."}
        steps: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                steps.setdefault(int(index), {})[key] = tensor
        try:
            checkpoint.model.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.last}: does not fit the recipe: {reason_of(error):.200}"
            ) from None
        optimiser.load_state_dict({**optimiser.state_dict(), "state": steps})
        checkpoint.extract.mean = tensors.get("features.mean")
        checkpoint.extract.std = tensors.get("features.std")

    def keep_weights(self, epoch: int, weights: dict[str, Tensor]) -> None:
        write_tensors(self._kept(epoch), weights, WEIGHTS_FORMAT, {})

    def kept_weights(self, epoch: int) -> dict[str, Tensor]:
        return read_tensors(self._kept(epoch), WEIGHTS_FORMAT)[1]

    def delete_weights_except(self, epochs: set[int]) -> None:
        wanted = {self._kept(epoch) for epoch in epochs}
        for file in (self.path / "kept").glob("epoch-*.safetensors"):
            if file not in wanted:
                file.unlink(missing_ok=True)

    def _kept(self, epoch: int) -> Path:
        return self.path / "kept" / f"epoch-{epoch:04d}.safetensors"

    def write_metrics(self, row: EpochMetrics) -> None:
        """Add an epoch's line, replacing one that an interrupted session left for it."""
        rows = [*(old for old in self.read_metrics() if old.epoch < row.epoch), row]
        text = "".join(json.dumps(each.to_json()) + "\n" for each in rows)
        atomic_write(self.metrics, text, TrainingError)

    def read_metrics(self) -> list[EpochMetrics]:
        """Of the epochs so far; none without a file. Raises CheckpointError for a damaged one."""
        if not os.path.exists(self.metrics):
            return []
        adapter = TypeAdapter(EpochMetrics)
        try:
            lines = self.metrics.read_text(encoding="utf-8").splitlines()
            return [adapter.validate_python(json.loads(line)) for line in lines]
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{self.metrics}: expected the metrics of an epoch on each line; restore the file, "
                f"or delete it: {reason_of(error):.200}"
            ) from None
