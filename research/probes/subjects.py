"""The models that are probed: those of trained runs, the same before training, and fresh ones."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechgru.audio import read_audio
from speechgru.cells import CELLS
from speechgru.checkpoint import MODEL_FILE, Checkpoint, load_model, new_checkpoint
from speechgru.errors import SpeechgruError
from speechgru.manifest import Utterance, read_manifest

WHEN = {"initial": "untrained", "trained": "trained"}
CLAIMS = {
    "gradient-reach": "Plain RNNs suffer from vanishing gradients, and may from exploding ones; "
    "the gates of LSTM and GRU cure this.",
    "memory": "Plain RNNs forget what is long past. LSTM and GRU keep it; on very long "
    "dependencies a GRU may lose to an LSTM.",
    "gates": "The gates decide what is kept and what is forgotten; they let LSTM and GRU "
    "remember for long.",
    "length": "LSTM and GRU carry long dependencies, which long utterances need; on very long "
    "ones a GRU may lose to an LSTM.",
}


@dataclass(frozen=True)
class Subject:
    """A trained run to look into."""

    path: Path
    checkpoint: Checkpoint
    cell: str
    seed: int
    digest: str  # of the model file: other weights are another model

    @property
    def frame_ms(self) -> float:
        """Milliseconds a model frame."""
        config = self.checkpoint.config
        return 1000 * config.model.factor / config.features.frames_per_second

    @property
    def shape(self) -> str:
        """What tells models of one cell apart, beside their weights."""
        model = self.checkpoint.config.model
        ways = "two-way" if model.bidirectional else "one-way"
        return f"{model.layers} × {model.hidden_size} {ways}, {self.frame_ms:g} ms frames"


def load_subjects(runs: Sequence[Path]) -> list[Subject]:
    """Read runs or model files. Raises CheckpointError for what is none."""
    subjects = []
    for path in runs:
        checkpoint = load_model(path)
        checkpoint.model.eval()
        file = path / MODEL_FILE if os.path.isdir(path) else path
        seed = checkpoint.about.get("seed", 1)
        cell = checkpoint.config.model.cell
        subjects.append(Subject(path, checkpoint, cell, int(seed), digest(file)))
    return subjects


def untrained(subject: Subject) -> Checkpoint:
    """The subject as it was before training: training draws the first weights in this way."""
    torch.manual_seed(subject.seed)
    checkpoint = new_checkpoint(subject.checkpoint.config, subject.checkpoint.vocabulary, {})
    checkpoint.extract = subject.checkpoint.extract  # with its statistics, if it has any
    checkpoint.model.eval()
    return checkpoint


def digest(path: Path) -> str:
    """Twelve hex digits that change with a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def some_utterances(manifest: Path, count: int) -> list[Utterance]:
    """`count` utterances of a manifest, evenly spread over it; all if it has fewer."""
    utterances = read_manifest(manifest)
    count = min(count, len(utterances))
    return [utterances[index * len(utterances) // count] for index in range(count)]


def utterance_features(checkpoint: Checkpoint, utterances: Sequence[Utterance]) -> list[Tensor]:
    rate = checkpoint.config.features.sample_rate
    return [
        checkpoint.extract(read_audio(each.audio, rate, each.offset, each.duration))
        for each in utterances
    ]


def joined_features(
    checkpoint: Checkpoint, utterances: Sequence[Utterance], steps: int
) -> list[Tensor]:
    """Features of utterances' sound put end to end, in pieces of at least `steps` model frames."""
    rate, factor = checkpoint.config.features.sample_rate, checkpoint.config.model.factor
    pieces, waiting = [], np.zeros(0, np.float32)
    for utterance in utterances:
        sound = read_audio(utterance.audio, rate, utterance.offset, utterance.duration)
        waiting = np.concatenate([waiting, sound])
        if checkpoint.extract.frames(len(waiting)) >= steps * factor:
            pieces.append(checkpoint.extract(waiting))
            waiting = np.zeros(0, np.float32)
    if not pieces:
        raise SpeechgruError(f"the utterances together are shorter than {steps} model frames")
    return pieces


def check_cells(names: Sequence[str]) -> None:
    """Raises SpeechgruError for a name that is not in the table."""
    for name in names:
        if name not in CELLS:
            raise SpeechgruError(f"cell {name!r}: expected one of {', '.join(CELLS)}")


def colour(cell: str) -> int:
    """A cell's colour in every figure."""
    return list(CELLS).index(cell)
