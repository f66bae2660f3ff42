"""Models and resume states on disk: safetensors, whose metadata rebuilds the rest.

Design choices:
- One file is one state. Nothing is valid because another file exists beside it.
- Every write is temp + fsync + rename, so a kill leaves the old file or the new one.
- Nothing is unpickled. What a file claims is checked before it is used.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from speechgru.errors import CheckpointError, RecipeError
from speechgru.features import FeatureExtractor, feature_size
from speechgru.files import atomic_write
from speechgru.model import RecurrentCTC
from speechgru.recipe import FeatureRecipe, ModelRecipe, Section, TextRecipe
from speechgru.text import Vocabulary

MODEL_FILE = "model.safetensors"
FORMAT = "speechgru-1"


class Blueprint(Section):
    """The recipe sections a model needs after training."""

    text: TextRecipe
    features: FeatureRecipe
    model: ModelRecipe


@dataclass
class Bundle:
    """A model and everything between sound and text that it was trained with."""

    blueprint: Blueprint
    vocabulary: Vocabulary
    extract: FeatureExtractor
    model: RecurrentCTC
    about: dict[str, Any]  # where it came from: versions, dev score, epoch; informative only


def new_bundle(blueprint: Blueprint, vocabulary: Vocabulary, about: dict[str, Any]) -> Bundle:
    """An untrained model for a vocabulary; weights follow torch's current random state."""
    extract = FeatureExtractor(blueprint.features)
    model = RecurrentCTC(blueprint.model, extract.size, len(vocabulary))
    return Bundle(blueprint, vocabulary, extract, model, about)


def save_model(path: Path, bundle: Bundle, weights: dict[str, Tensor] | None = None) -> None:
    """Write `bundle` to one file, with other `weights` than the model's own if given."""
    tensors = dict(bundle.model.state_dict() if weights is None else weights)
    if bundle.extract.mean is not None and bundle.extract.std is not None:
        tensors["features.mean"], tensors["features.std"] = bundle.extract.mean, bundle.extract.std
    details = {
        "blueprint": bundle.blueprint.model_dump(mode="json"),
        "vocabulary": bundle.vocabulary.to_json(),
        "about": bundle.about,
    }
    write_tensors(path, tensors, FORMAT, details)


def load_model(path: str | Path) -> Bundle:
    """Read a model file, or the one in a run folder, onto the CPU.

    Raises CheckpointError: not there, cut short, not ours, or tensors that do not fit its recipe.
    """
    path = Path(path)
    file = path / MODEL_FILE if path.is_dir() else path
    tensors, details = read_tensors(file, FORMAT)
    try:
        blueprint = Blueprint.model_validate(details["blueprint"])
        vocabulary = Vocabulary.from_json(details["vocabulary"])
        # Built without memory: what the metadata claims costs nothing until the tensors fit it.
        with torch.device("meta"):
            model = RecurrentCTC(blueprint.model, feature_size(blueprint.features), len(vocabulary))
        extract = FeatureExtractor(blueprint.features)
    except (KeyError, TypeError, ValueError, RecipeError) as fault:
        reason = " ".join(str(fault).split())
        raise CheckpointError(f"{file}: its metadata cannot be used: {reason:.200}") from None
    extract.mean = tensors.pop("features.mean", None)
    extract.std = tensors.pop("features.std", None)
    try:
        model.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    except RuntimeError as fault:
        reason = " ".join(str(fault).split())
        raise CheckpointError(f"{file}: weights do not fit its recipe: {reason:.200}") from None
    return Bundle(blueprint, vocabulary, extract, model, dict(details.get("about", {})))


def write_tensors(path: Path, tensors: dict[str, Tensor], kind: str, details: object) -> None:
    """One safetensors file with `kind` and JSON `details` in its metadata, atomically."""
    metadata = {"format": kind, "details": json.dumps(details)}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    atomic_write(path, save(plain, metadata))


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and details of a file of this `kind`. Raises CheckpointError with the reason."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected a run folder or a {MODEL_FILE}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != kind:
                found = metadata.get("format", "none")
                raise CheckpointError(f"{path}: expected format {kind!r}, found {found!r}")
            details = json.loads(metadata["details"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as fault:
        raise CheckpointError(f"{path}: not a whole speechgru checkpoint ({fault})") from None
    if not isinstance(details, dict):
        raise CheckpointError(f"{path}: its metadata is not a mapping")
    return tensors, details


def average_weights(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, summed in float64 (Polyak & Juditsky 1992; here a plain mean)."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }
