"""Small trainings, and what two runs are compared by."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from tones import RATE, say, tone_recipe
from torch import Tensor

from speechgru.checkpoint import load_model, read_tensors
from speechgru.model_file import FORMAT
from speechgru.recipe import Recipe
from speechgru.training.data import read_training_data
from speechgru.training.loop import Trainer, TrainingProgress, train
from speechgru.training.state import STATE_FORMAT, RunFolder, TrainingState

CPU = torch.device("cpu")
TOTAL = 12  # optimiser steps of long_recipe, four an epoch; test_state.py checks it
AUGMENT = {"speed": [0.9, 1.0, 1.1], "frequency_warp": 0.1, "frequency_masks": 1, "time_masks": 1}


def quick(folder: Path, **sections: dict[str, object]) -> Recipe:
    """A model too small to read, two epochs of about four batches, with everything random on."""
    values: dict[str, dict[str, object]] = {
        "model": {"hidden_size": 6, "layers": 2, "dropout": 0.2, "conv_channels": 2},
        "augment": dict(AUGMENT),
        "training": {"epochs": 2, "batch_seconds": 1.5, "learning_rate": 0.01},
    }
    for section, changes in sections.items():
        values.setdefault(section, {}).update(changes)
    return tone_recipe(folder, **values)


def make_trainer(recipe: Recipe, folder: Path) -> Trainer:
    data, state = read_training_data(recipe), TrainingState()
    return Trainer(recipe, data, RunFolder(folder), CPU, state, lambda _: None)


def tensors_of(file: Path, kind: str) -> dict[str, Tensor]:
    return read_tensors(file, kind)[1]


def same_weights(one: Path, other: Path, name: str = "model.safetensors") -> bool:
    kind = STATE_FORMAT if name == "last.safetensors" else FORMAT
    first, second = tensors_of(one / name, kind), tensors_of(other / name, kind)
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


def metrics(folder: Path) -> list[dict[str, object]]:
    """The lines of metrics.jsonl, without the time the run took."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def untimed(state: TrainingState) -> TrainingState:
    return replace(state, step_seconds=0, evaluation_seconds=0, elapsed=0)


def check_same_run(one: Path, other: Path) -> None:
    assert same_weights(one, other)
    assert same_weights(one, other, "last.safetensors")
    assert metrics(one) == metrics(other)
    assert load_model(one).metadata == load_model(other).metadata
    state, _ = RunFolder(one).load_state()
    again, _ = RunFolder(other).load_state()
    assert untimed(state) == untimed(again)
    assert sorted(p.name for p in (one / "kept").glob("*.safetensors")) == sorted(
        p.name for p in (other / "kept").glob("*.safetensors")
    )


def long_recipe(few: Path, **changes: object) -> Recipe:
    return quick(few, training={"epochs": 3, "average": 2, "accumulate": 2, **changes})


def train_from(folder: Path, recipe: Recipe, **options: object) -> Path:
    train(recipe, folder, "cpu", **options)
    return folder


class Stopper:
    """Asks for a stop when `train` reports one of these steps."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def __call__(self, progress: TrainingProgress) -> None:
        if progress.step in self.steps:
            os.kill(os.getpid(), signal.SIGINT)


def damaged(folder: Path) -> Path:
    """A file with a good header and, half a second in, a sample that is not a number."""
    wave = say("am mo am mo", 7)
    wave[RATE // 2] = np.nan
    soundfile.write(folder / "nan.wav", wave, RATE, subtype="FLOAT")
    return folder / "nan.wav"
