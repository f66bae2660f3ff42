"""The models to be probed: trained ones, and the same models before training."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechgru.audio import read_utterance
from speechgru.cells import CELLS
from speechgru.checkpoint import Checkpoint, load_model, new_checkpoint
from speechgru.errors import SpeechgruError
from speechgru.manifest import Utterance, read_manifest
from speechgru.model_file import model_path

STATES = ("untrained", "trained")


@dataclass(frozen=True)
class Subject:
    """A trained model."""

    checkpoint: Checkpoint
    cell: str
    seed: int
    digest: str  # of the model file

    @property
    def frame_ms(self) -> float:
        """Milliseconds per model frame."""
        config = self.checkpoint.config
        return 1000 * config.model.factor / config.features.frames_per_second

    @property
    def shape(self) -> str:
        """Size and frame rate: models of one cell are only averaged if these are equal."""
        model = self.checkpoint.config.model
        direction = "bidirectional" if model.bidirectional else "unidirectional"
        return f"{model.layers} × {model.hidden_size} {direction}, {self.frame_ms:g} ms frames"

    def in_state(self, state: str) -> Checkpoint:
        """The checkpoint, or the same before training: training draws the initial weights from
        this seed in the same way."""
        if state == "trained":
            return self.checkpoint
        torch.manual_seed(self.seed)
        checkpoint = new_checkpoint(self.checkpoint.config, self.checkpoint.vocabulary, {})
        checkpoint.extract = self.checkpoint.extract  # with its statistics, if it has any
        checkpoint.model.eval()
        return checkpoint


def load_subjects(runs: Sequence[Path]) -> list[Subject]:
    """Reads run folders or model files. Raises CheckpointError."""
    subjects = []
    for path in runs:
        checkpoint = load_model(path)
        checkpoint.model.eval()
        seed = int(checkpoint.metadata.get("seed", 1))
        name = digest(model_path(path))
        subjects.append(Subject(checkpoint, checkpoint.config.model.cell, seed, name))
    return subjects


def digest(path: Path) -> str:
    """Twelve hex digits of the file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def some_utterances(manifest: Path, count: int) -> list[Utterance]:
    """`count` utterances at equal distances in a manifest; all if it has fewer."""
    utterances = read_manifest(manifest)
    count = min(count, len(utterances))
    return [utterances[index * len(utterances) // count] for index in range(count)]


def utterance_features(checkpoint: Checkpoint, utterances: Sequence[Utterance]) -> list[Tensor]:
    return [checkpoint.extract(audio) for audio in _audio(checkpoint, utterances)]


def joined_features(
    checkpoint: Checkpoint, utterances: Sequence[Utterance], frames: int
) -> list[Tensor]:
    """Features of concatenated utterances, each at least `frames` model frames long."""
    pieces, audio = [], np.zeros(0, np.float32)
    for utterance in _audio(checkpoint, utterances):
        audio = np.concatenate([audio, utterance])
        if checkpoint.config.features.frames(len(audio)) >= frames * checkpoint.config.model.factor:
            pieces.append(checkpoint.extract(audio))
            audio = np.zeros(0, np.float32)
    if not pieces:
        raise SpeechgruError(
            f"the utterances together are shorter than {frames} model frames; use more of them"
        )
    return pieces


def _audio(checkpoint: Checkpoint, utterances: Sequence[Utterance]) -> list[np.ndarray]:
    rate = checkpoint.config.features.sample_rate
    return [read_utterance(utterance, rate) for utterance in utterances]


def check_cells(names: Sequence[str]) -> None:
    """Raises SpeechgruError for an unknown cell."""
    for name in names:
        if name not in CELLS:
            raise SpeechgruError(f"cell {name!r}: expected one of {', '.join(CELLS)}")
