"""Folders of recordings for tests of what `read_folder` recognises."""

from pathlib import Path

import numpy as np
import soundfile

from speechgru.corpora import UNSPLIT, Prepared, read_folder
from speechgru.manifest import Utterance

RATE = 8000


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    kind = "WAV" if path.suffix.lower() == ".wav" else None
    samples = 0.1 * rng.standard_normal(round(seconds * RATE))
    soundfile.write(path, samples, RATE, format=kind)
    return path


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def texts(result: Prepared, split: str = UNSPLIT) -> dict[str, str]:
    return {utterance.id: utterance.text for utterance in result.splits[split]}


def one(result: Prepared, id_: str) -> Utterance:
    (found,) = [u for listed in result.splits.values() for u in listed if u.id == id_]
    return found


def detected(folder: Path, layout: str) -> Prepared:
    """Read without and with the layout stated."""
    name, result = read_folder(folder)
    assert name == layout
    assert read_folder(folder, layout)[1] == result
    return result
