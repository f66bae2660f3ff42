"""A working directory: the embedded digits prepared, and a model trained on four voices."""

from pathlib import Path
from typing import NamedTuple

import pytest
from shell import Result, run
from tones import NO_ACOUSTICS

from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import write_manifest

VOICES = ("espeak-us-plain", "espeak-us-m6", "espeak-us-alex", "espeak-us-m7")

# The demo's recipe, smaller; 8 kHz, so that telephone audio is recognised as well as other audio.
TRAIN = (
    "train", "recipes/digits", "data.train=[data/few/train.jsonl]", "data.dev=data/few/dev.jsonl",
    "features.sample_rate=8000", "features.mels=32", "model.hidden_size=64", "augment.time_masks=0",
    "augment.frequency_masks=0", "training.batch_seconds=12", "training.learning_rate=0.008",
    "training.epochs=16", "training.evaluate_every=8", "--device", "cpu", "--threads", "1",
    *(f"augment.{key}={value}" for key, value in NO_ACOUSTICS.items()),
)  # fmt: skip


class Desk(NamedTuple):
    """A working directory with data/digits, data/few and runs/few; and the commands' output."""

    folder: Path
    prepared: Result
    trained: Result

    def utterances(self, split: str) -> list[Utterance]:
        return read_manifest(self.folder / f"data/few/{split}.jsonl")


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    prepared = run("prepare", "digits", cwd=folder)
    voices: dict[str, list[Utterance]] = {voice: [] for voice in VOICES}
    for utterance in read_manifest(folder / "data/digits/train.jsonl"):
        if utterance.speaker in voices:
            voices[utterance.speaker].append(utterance)
    for split, part in {"train": slice(27), "dev": slice(27, 32), "test": slice(32, None)}.items():
        chosen = [u for listed in voices.values() for u in listed[part]]
        write_manifest(folder / f"data/few/{split}.jsonl", chosen)
    trained = run(*TRAIN, "--out", "runs/few", cwd=folder)
    return Desk(folder, prepared, trained)


@pytest.fixture
def at_desk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(desk.folder)
    return desk
