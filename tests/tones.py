"""A language of three tones, which a tiny model learns in seconds.

Each letter is a burst of its own pitch, a space is silent; the words have two letters.
"""

from pathlib import Path

import numpy as np
import soundfile

from speechgru.manifest import Utterance
from speechgru.manifest_writer import write_manifest
from speechgru.recipe import Recipe, make_recipe

RATE = 8000
PITCH = {"a": 400.0, "m": 1700.0, "o": 900.0}  # Hz
WORDS = ("am", "mo", "oa", "ma")


def say(text: str, seed: int = 0) -> np.ndarray:
    """(samples,) float32 at RATE: letters of 70 to 110 ms in faint noise."""
    rng = np.random.default_rng([seed, len(text)])
    parts = [np.zeros(RATE // 20)]
    for char in text:
        length = int(RATE * rng.uniform(0.07, 0.11))
        level = 0.0 if char == " " else rng.uniform(0.1, 0.3)
        time = np.arange(length) / RATE
        parts.append(level * np.sin(2 * np.pi * PITCH.get(char, 0.0) * time))
    wave = np.concatenate([*parts, np.zeros(RATE // 20)])
    return (wave + 0.003 * rng.standard_normal(len(wave))).astype(np.float32)


def write_split(folder: Path, name: str, count: int, seed: int) -> list[Utterance]:
    """`count` utterances of one to three words under folder/name, and folder/name.jsonl."""
    rng = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True, exist_ok=True)
    utterances = []
    for number in range(count):
        text = " ".join(rng.choice(WORDS, size=1 + number % 3))
        path = folder / name / f"{number:03}.wav"
        wave = say(text, 1000 * seed + number)
        soundfile.write(path, wave, RATE)
        utterances.append(
            Utterance(path, len(wave) / RATE, text, f"{name}/{number:03}", speaker=f"s{number % 4}")
        )
    write_manifest(folder / f"{name}.jsonl", utterances)
    return utterances


def write_corpus(folder: Path) -> Path:
    """train (48 utterances), dev (8) and test (12); returns `folder`."""
    write_split(folder, "train", 48, 1)
    write_split(folder, "dev", 8, 2)
    write_split(folder, "test", 12, 3)
    return folder


NO_ACOUSTICS = {
    "join_probability": 0, "gain_db": [0, 0], "silence_probability": 0, "noise_probability": 0,
    "room_probability": 0, "telephone_probability": 0, "codec_probability": 0,
    "nonspeech_probability": 0, "trim_probability": 0,
}  # fmt: skip
"""Augmentation without its acoustic effects, as tests of everything else want it."""


def recipe_values(folder: Path) -> dict[str, dict[str, object]]:
    """Recipe values for learning the tones in about ten epochs."""
    return {
        "data": {"train": [str(folder / "train.jsonl")], "dev": str(folder / "dev.jsonl")},
        "features": {"sample_rate": RATE, "mels": 20, "low_hz": 100},
        "augment": dict(NO_ACOUSTICS),
        "model": {"cell": "gru", "layers": 1, "hidden_size": 24, "factor": 2, "dropout": 0.0},
        "training": {"epochs": 12, "batch_seconds": 6, "learning_rate": 0.02},
    }


def tone_recipe(folder: Path, **sections: dict[str, object]) -> Recipe:
    """The same with changes: `tone_recipe(folder, training={"epochs": 2})`."""
    values = recipe_values(folder)
    for section, changes in sections.items():
        values.setdefault(section, {}).update(changes)
    return make_recipe(values)
