"""Model files, read and written without torch: safetensors whose metadata rebuild the rest.

Design choices:
- One file is one model. Nothing is valid because another file exists beside it.
- Nothing is unpickled. What a file claims is checked before it is used.
- A file states every setting of its model, and one that misses a setting is refused: a default
  that is new or changed can never reinterpret an old model. A new setting needs a new FORMAT and a
  migration that fills in what older files mean.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from speechgru.errors import CheckpointError, SpeechgruError, reason_of
from speechgru.files import Json, atomic_write
from speechgru.misspelt import similar_path
from speechgru.recipe import FeatureRecipe, ModelRecipe, Section, TextRecipe
from speechgru.text import Vocabulary
from speechgru.text.units import vocabulary_from_json

MODEL_FILE = "model.safetensors"
FORMAT = "speechgru-5"
Arrays = dict[str, npt.NDArray[Any]]


class ModelConfig(Section):
    """The recipe sections that a trained model needs."""

    text: TextRecipe
    features: FeatureRecipe
    model: ModelRecipe


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file."""

    path: Path
    config: ModelConfig
    vocabulary: Vocabulary
    metadata: Json  # where the model comes from; informative only
    arrays: Arrays


def model_path(model: str | Path) -> Path:
    """The model file of a run folder, or the file itself."""
    return Path(model, MODEL_FILE) if os.path.isdir(model) else Path(model)


def read_model_file(path: str | Path) -> ModelFile:
    """Read a model file, or the one in a run folder.

    Raises CheckpointError: no such file, damaged, not a speechgru model, or with settings that
    cannot be used.
    """
    file = model_path(path)
    found, arrays, details = read_arrays(file, FORMAT, *MIGRATIONS)
    try:
        formats = [*MIGRATIONS, FORMAT]
        for older in formats[formats.index(found) : -1]:
            details = MIGRATIONS[older](details)
        config = _complete_config(details["config"])
        vocabulary = vocabulary_from_json(details["vocabulary"])
        metadata = dict(details["metadata"])
    except (KeyError, TypeError, ValueError, SpeechgruError) as error:
        raise CheckpointError(
            f"{file}: its metadata cannot be used: {reason_of(error):.200}"
        ) from None
    return ModelFile(file, config, vocabulary, metadata, arrays)


def write_model_file(
    path: Path,
    config: ModelConfig,
    vocabulary: Vocabulary,
    metadata: Json,
    arrays: Arrays,
) -> None:
    """Raises CheckpointError when the file cannot be written."""
    details = {
        "config": config.model_dump(mode="json"),
        "vocabulary": vocabulary.to_json(),
        "metadata": metadata,
    }
    write_arrays(path, arrays, FORMAT, details)


def _complete_config(values: Json) -> ModelConfig:
    """The settings of a file, none of them left to a default."""
    config = ModelConfig.model_validate(values)
    for section, complete in config.model_dump().items():
        if missing := sorted(complete.keys() - values[section].keys()):
            raise ValueError(f"it does not state {section}.{missing[0]}")
    return config


def _from_format_1(details: Json) -> Json:
    """Format 1 called the hidden size `width`, had `projection` and `residual`, no bias added to
    the forget gate, and no normalisation over speech frames."""
    config = dict(details["blueprint"])
    prior = {"normalise_prior": FeatureRecipe().normalise_prior}  # not used by its normalisations
    model = dict(config["model"])
    if model.pop("projection") or model.pop("residual"):
        raise CheckpointError("model.projection and model.residual are no longer supported")
    model |= {"hidden_size": model.pop("width"), "forget_bias": 0.0}
    return {
        "config": config | {"model": model, "features": config["features"] | prior},
        "vocabulary": details["vocabulary"],
        "metadata": details["about"],
    }


def _from_format_2(details: Json) -> Json:
    """Format 2 had no look-ahead."""
    config = details["config"]
    return details | {"config": config | {"model": config["model"] | {"lookahead": 0}}}


def _from_format_3(details: Json) -> Json:
    """Format 3 spelled no numbers; its last files state so."""
    config = details["config"]
    return details | {"config": config | {"text": {"spell_numbers": None} | config["text"]}}


def _from_format_4(details: Json) -> Json:
    """Format 4 had vocabularies of characters only."""
    config = details["config"]
    characters = {"unit": "character", "pieces": TextRecipe().pieces}
    return details | {"config": config | {"text": characters | config["text"]}}


MIGRATIONS = {  # older formats, the oldest first → the details as the next format has them
    "speechgru-1": _from_format_1,
    "speechgru-2": _from_format_2,
    "speechgru-3": _from_format_3,
    "speechgru-4": _from_format_4,
}


# Arrays in a file --------------------------------------------------------------------------------


def write_arrays(path: Path, arrays: Arrays, kind: str, details: object) -> None:
    """One safetensors file with its format `kind`, JSON `details` and a checksum in its metadata,
    written atomically. Raises CheckpointError when it cannot be written."""
    text = json.dumps(details)
    metadata = {"format": kind, "details": text, "sha256": _checksum(text, arrays)}
    atomic_write(path, save(dict(arrays), metadata), CheckpointError)


def read_arrays(path: Path, *kinds: str) -> tuple[str, Arrays, Json]:
    """Format, arrays and details of a file of one of these formats. Raises CheckpointError."""
    if not os.path.isfile(path):
        found, hint = similar_path(path)
        if found is not None and os.path.isfile(found):
            return read_arrays(Path(found), *kinds)
        raise CheckpointError(
            f"{path}: no such file{hint}; expected a run folder or a {MODEL_FILE}"
        )
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") not in kinds:
                found = metadata.get("format", "none")
                todo = f"give a run folder or its {MODEL_FILE}"
                if found.rpartition("-")[0] == kinds[0].rpartition("-")[0]:
                    todo = "it was saved by a newer version of speechgru; update this one"
                raise CheckpointError(
                    f"{path}: expected a file of format {kinds[0]!r}, found {found!r:.60}; {todo}"
                )
            details = json.loads(metadata["details"])
            # Copies: a mapped file that another process truncates would end this one.
            arrays = {key: np.array(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if not begins_as_safetensors(path):
            raise CheckpointError(
                f"{path}: not a checkpoint; expected a run folder or its {MODEL_FILE}"
            ) from None
        raise CheckpointError(
            f"{path}: damaged, or not a speechgru checkpoint ({reason_of(error):.200})"
        ) from None
    if not isinstance(details, dict):
        raise CheckpointError(f"{path}: its metadata is not a JSON object")
    if metadata.get("sha256") not in (None, _checksum(metadata["details"], arrays)):
        raise CheckpointError(f"{path}: damaged: its checksum does not match; copy it again")
    return metadata["format"], arrays, details


def begins_as_safetensors(path: Path) -> bool:
    """Whether a file has a header of JSON, after its length in 8 bytes."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(9)[8:] == b"{"
    return False


def _checksum(details: str, arrays: Arrays) -> str:
    """Of all content: without it, a flipped bit in a weight would go unnoticed."""
    digest = hashlib.sha256(details.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} torch.{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
