"""An epoch of AN4 and a transcription of its test set, timed from outside.

    speechgru prepare an4 --source AN4_FOLDER
    python benchmarks/an4.py epoch
    python benchmarks/an4.py transcribe runs/an4/gru-1
    SPEECHGRU_CPU_KERNELS=0 python benchmarks/an4.py epoch

`epoch` trains two epochs of recipes/an4 and prints the seconds of each (the second has its sound in
memory), then the share of the recurrent stack in eight profiled steps. `transcribe` prints the
median of five passes over the 130 files, start-up apart.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile

from speechgru.manifest import read_manifest
from speechgru.recipe import load_recipe
from speechgru.recognizer import Recognizer
from speechgru.training.data import read_training_data
from speechgru.training.loop import Trainer
from speechgru.training.state import RunFolder, TrainingState

RECURRENT = ("Recurrence", "RecurrenceBackward")


def epoch() -> None:
    recipe = load_recipe("recipes/an4", ["training.epochs=3"])
    with tempfile.TemporaryDirectory() as folder:
        data, run = read_training_data(recipe), RunFolder(Path(folder) / "run")
        trainer = Trainer(recipe, data, run, torch.device("cpu"), TrainingState(), lambda _: None)
        for number in range(2):
            trainer.state.epoch, trainer.state.batch = number, 0
            began = time.perf_counter()
            trainer._train_epoch(threading.Event())
            print(f"epoch {number + 1}: {time.perf_counter() - began:.1f} s")
        batches = [trainer.loader.load(plan, 2) for plan in trainer.loader.plan(2)[:8]]
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            began = time.perf_counter()
            for batch in batches:
                trainer._step([batch])
            steps = time.perf_counter() - began
    spent = {event.key: event.cpu_time_total / 1e6 for event in profiled.key_averages()}
    recurrent = sum(spent.get(name, 0.0) for name in RECURRENT)
    print(f"8 steps: {steps:.2f} s, of which our recurrent layers {recurrent:.2f}")


def transcribe(model: str) -> None:
    recognizer = Recognizer.load(model, "cpu")
    files = [utterance.audio for utterance in read_manifest("data/an4/test.jsonl")]
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        list(recognizer.transcribe_all(files))
        seconds.append(time.perf_counter() - began)
    print(f"{len(files)} files: {median(seconds[1:]):.2f} s")


if __name__ == "__main__":
    epoch() if sys.argv[1:] == ["epoch"] else transcribe(sys.argv[2])
