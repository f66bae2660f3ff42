"""Models and resume states on disk: safetensors, whose metadata rebuilds the rest.

Design choices:
- One file is one state. Nothing is valid because another file exists beside it.
- Every write is temp + fsync + rename, so a kill leaves the old file or the new one.
- Nothing is unpickled. What a file claims is checked before it is used.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from speechgru.errors import CheckpointError, SpeechgruError, printable
from speechgru.features import FeatureExtractor, feature_size
from speechgru.files import atomic_write
from speechgru.model import RecurrentCTC
from speechgru.recipe import FeatureRecipe, ModelRecipe, Section, TextRecipe
from speechgru.text import Vocabulary

MODEL_FILE = "model.safetensors"
FORMAT = "speechgru-1"


class ModelConfig(Section):
    """The recipe sections a model needs after training."""

    text: TextRecipe
    features: FeatureRecipe
    model: ModelRecipe


@dataclass
class Checkpoint:
    """A model and everything between sound and text that it was trained with."""

    config: ModelConfig
    vocabulary: Vocabulary
    extract: FeatureExtractor
    model: RecurrentCTC
    about: dict[str, Any]  # where it came from: versions, dev score, epoch; informative only


def new_checkpoint(
    config: ModelConfig, vocabulary: Vocabulary, about: dict[str, Any]
) -> Checkpoint:
    """An untrained model for a vocabulary; weights follow torch's current random state."""
    extract = FeatureExtractor(config.features)
    model = RecurrentCTC(config.model, extract.size, len(vocabulary))
    return Checkpoint(config, vocabulary, extract, model, about)


def save_model(
    path: Path, checkpoint: Checkpoint, weights: dict[str, Tensor] | None = None
) -> None:
    """Write `checkpoint` to one file, with other `weights` than the model's own if given."""
    tensors = dict(checkpoint.model.state_dict() if weights is None else weights)
    if checkpoint.extract.mean is not None and checkpoint.extract.std is not None:
        tensors["features.mean"], tensors["features.std"] = (
            checkpoint.extract.mean,
            checkpoint.extract.std,
        )
    details = {
        "config": checkpoint.config.model_dump(mode="json"),
        "vocabulary": checkpoint.vocabulary.to_json(),
        "about": checkpoint.about,
    }
    write_tensors(path, tensors, FORMAT, details)


def load_model(path: str | Path) -> Checkpoint:
    """Read a model file, or the one in a run folder, onto the CPU.

    Raises CheckpointError: not there, cut short, not ours, or tensors that do not fit its recipe.
    """
    path = Path(path)
    file = path / MODEL_FILE if os.path.isdir(path) else path
    tensors, details = read_tensors(file, FORMAT)
    try:
        config = ModelConfig.model_validate(details["config"])
        vocabulary = Vocabulary.from_json(details["vocabulary"])
        # Built without memory: what the metadata claims costs nothing until the tensors fit it.
        with torch.device("meta"):
            model = RecurrentCTC(config.model, feature_size(config.features), len(vocabulary))
        extract = FeatureExtractor(config.features)
        about = dict(details["about"])
    except (KeyError, TypeError, ValueError, SpeechgruError) as fault:
        reason = " ".join(str(fault).split())
        raise CheckpointError(f"{file}: its metadata cannot be used: {reason:.200}") from None
    extract.mean = tensors.pop("features.mean", None)
    extract.std = tensors.pop("features.std", None)
    if config.features.normalise == "global" and not _has_statistics(extract):
        raise CheckpointError(f"{file}: no mean and std of {extract.size} features each")
    try:
        model.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    except RuntimeError as fault:
        reason = " ".join(str(fault).split())
        raise CheckpointError(f"{file}: weights do not fit its recipe: {reason:.200}") from None
    return Checkpoint(config, vocabulary, extract, model, about)


def _has_statistics(extract: FeatureExtractor) -> bool:
    return all(
        part is not None and part.dtype == torch.float32 and part.shape == (extract.size,)
        for part in (extract.mean, extract.std)
    )


def write_tensors(path: Path, tensors: dict[str, Tensor], kind: str, details: object) -> None:
    """One safetensors file with `kind`, JSON `details` and a checksum in its metadata, atomically.
    Raises CheckpointError when it cannot be written."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(details)
    metadata = {"format": kind, "details": text, "sha256": _checksum(text, plain)}
    atomic_write(path, save(plain, metadata), CheckpointError)


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and details of a file of this `kind`. Raises CheckpointError with the reason."""
    name = printable(path)
    if not os.path.isfile(path):
        raise CheckpointError(f"{name}: no such file; expected a run folder or a {MODEL_FILE}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != kind:
                found = metadata.get("format", "none")
                raise CheckpointError(f"{name}: expected format {kind!r}, found {found!r:.60}")
            details = json.loads(metadata["details"])
            # Copied out of the mapped file: there they lie unaligned, which costs time and the last
            # bit of a sum, and a file cut short by somebody else later would end the process.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as fault:
        reason = " ".join(str(fault).split())
        raise CheckpointError(f"{name}: not a whole speechgru checkpoint ({reason:.200})") from None
    if not isinstance(details, dict):
        raise CheckpointError(f"{name}: its metadata is not a mapping")
    if metadata.get("sha256") not in (None, _checksum(metadata["details"], tensors)):
        raise CheckpointError(f"{name}: damaged: its checksum is wrong; copy it again")
    return tensors, details


def _checksum(details: str, tensors: dict[str, Tensor]) -> str:
    """Of everything a file says and holds: a flipped bit in a weight would go unnoticed."""
    seen = hashlib.sha256(details.encode())
    for name, tensor in sorted(tensors.items()):
        seen.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        seen.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return seen.hexdigest()


def average_weights(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, summed in float64 (Polyak & Juditsky 1992; here a plain mean)."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }
