"""A run on disk, so that a kill at any instant loses at most the work since the last save.

RUN/recipe.yaml        everything resolved
RUN/excluded.json      ids of who could not be trained on, by reason; no file if all could
RUN/model.safetensors  the best model so far
RUN/last.safetensors   weights, optimiser and position: the one file `--resume` believes
RUN/kept/              weights of the best epochs, to be averaged; named by last.safetensors
RUN/.lock              held while a training is at work in the folder
RUN/metrics.jsonl      a line an epoch (`seconds`: of optimiser steps so far; no `loss`: all were
                       skipped); the same as TensorBoard events in RUN/events/
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechgru.checkpoint import MODEL_FILE, read_tensors, write_tensors
from speechgru.errors import CheckpointError, TrainingError
from speechgru.files import atomic_write, write_json
from speechgru.recipe import Recipe, load_recipe

STATE_FORMAT = "speechgru-state-2"
WEIGHTS_FORMAT = "speechgru-weights-1"


@dataclass
class TrainingState:
    """Where a training stands. `batch` counts those of `epoch` that are done."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0  # of optimiser steps, over all sittings
    scoring_seconds: float = 0.0  # of scoring dev
    elapsed: float = 0.0  # seconds of everything, up to the last save
    best_wer: float | None = None
    evaluations_without_improvement: int = 0
    skipped_steps: int = 0
    skipped_utterances: int = 0  # times that one could not be decoded
    bad_in_a_row: int = 0
    loss_sum: float = 0.0  # of the epoch under way, over its tokens
    token_count: int = 0
    gradient_norms: list[float] = field(default_factory=list)  # of its steps, before clipping
    vocabulary: dict[str, Any] = field(default_factory=dict)
    data: str = ""  # fingerprint of the utterances
    kept: list[tuple[float, int]] = field(default_factory=list)  # (dev WER, epoch), best first


class Run:
    """The folder of one training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / MODEL_FILE
        self.last = folder / "last.safetensors"
        self.metrics = folder / "metrics.jsonl"

    def started(self) -> bool:
        return os.path.exists(self.folder / "recipe.yaml")

    def check_free(self) -> None:
        """Raises TrainingError when the folder holds a run already."""
        if self.started() or os.path.exists(self.model):
            raise TrainingError(
                f"{self.folder} holds a run already: --resume goes on with it; "
                "or name another folder with --out"
            )

    def create(self, recipe: Recipe, excluded: dict[str, list[str]]) -> None:
        """Start afresh; `excluded`: ids by reason. Raises TrainingError when the folder holds a
        run already, or cannot be written."""
        self.check_free()
        if excluded:
            write_json(self.folder / "excluded.json", excluded, TrainingError)
        atomic_write(self.folder / "recipe.yaml", recipe.to_yaml(), TrainingError)

    def check_same(self, recipe: Recipe) -> None:
        """Raises TrainingError when `recipe` is not the one this run was started with."""
        if not self.started():
            raise TrainingError(f"{self.folder} holds no run to resume; leave --resume out")
        old = load_recipe(self.folder / "recipe.yaml").model_dump(mode="json")
        new = recipe.model_dump(mode="json")
        changed = [
            f"{section}.{key}: {old[section].get(key)!r} → {value!r}"
            for section in new
            for key, value in new[section].items()
            if old[section].get(key) != value
        ]
        if changed:
            raise TrainingError(
                f"{self.folder} was started with another recipe ({'; '.join(changed[:3])}): "
                "a resumed run keeps its recipe; name another folder with --out"
            )

    def check_same_data(self, position: TrainingState, data: str) -> None:
        """Raises TrainingError when `data` is not the fingerprint of this run's utterances."""
        if position.data != data:
            raise TrainingError(
                f"{self.folder} was started with other utterances (the manifests changed, "
                "or sound has gone): a resumed run keeps its data; bring it back, or name another "
                "folder with --out"
            )

    def save_state(self, position: TrainingState, tensors: dict[str, Tensor]) -> None:
        """The commit point: whatever else was written counts only once this is."""
        write_tensors(self.last, tensors, STATE_FORMAT, asdict(position))

    def load_state(self) -> tuple[TrainingState, dict[str, Tensor]]:
        """Raises CheckpointError when the state is damaged."""
        tensors, details = read_tensors(self.last, STATE_FORMAT)
        try:
            position = TrainingState(**details)
            position.kept = [(float(wer), int(epoch)) for wer, epoch in position.kept]
        except (TypeError, ValueError) as fault:
            raise CheckpointError(f"{self.last}: its position cannot be used: {fault}") from None
        return position, tensors

    def keep(self, epoch: int, weights: dict[str, Tensor]) -> None:
        write_tensors(self._kept(epoch), weights, WEIGHTS_FORMAT, {})

    def kept_weights(self, epoch: int) -> dict[str, Tensor]:
        return read_tensors(self._kept(epoch), WEIGHTS_FORMAT)[0]

    def drop_all_but(self, epochs: set[int]) -> None:
        wanted = {self._kept(epoch) for epoch in epochs}
        for file in (self.folder / "kept").glob("epoch-*.safetensors"):
            if file not in wanted:
                file.unlink(missing_ok=True)

    def _kept(self, epoch: int) -> Path:
        return self.folder / "kept" / f"epoch-{epoch:04d}.safetensors"

    def write_metrics(self, row: dict[str, Any]) -> None:
        """Add an epoch's line, in place of one that an interrupted sitting left for it."""
        rows = [old for old in self.read_metrics() if old["epoch"] < row["epoch"]]
        text = "".join(json.dumps(line) + "\n" for line in [*rows, row])
        atomic_write(self.metrics, text, TrainingError)

    def read_metrics(self) -> list[dict[str, Any]]:
        if not os.path.exists(self.metrics):
            return []
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Its state as named tensors: "optimiser.INDEX.KEY"."""
    return {
        f"optimiser.{index}.{key}": torch.as_tensor(value)
        for index, values in optimiser.state_dict()["state"].items()
        for key, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
