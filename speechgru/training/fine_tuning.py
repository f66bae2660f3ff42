"""Fine-tuning: what a training takes over from the model that it starts from.

Design choices:
- The training itself is the same; only its settings, vocabulary and first weights differ.
- Features and architecture are the initial model's. A recipe may state them, but not otherwise.
- The vocabulary is the initial model's, with the characters (or words) of the new texts: nothing
  that the model can write is forgotten. Rows of the output layer are copied by token. A recipe may
  state another `text.unit`; then the vocabulary is a new one.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from speechgru.checkpoint import Checkpoint, ModelConfig, load_model
from speechgru.errors import RecipeError, TrainingError
from speechgru.model import RecurrentCTC
from speechgru.model_file import model_path
from speechgru.recipe import Recipe

log = logging.getLogger(__name__)
LEARNING_RATE = 1e-3  # where the recipe states none; docs/fine-tuning.md has the figures
LISTED = 40  # new tokens in a log line
# Settings that the weights do not depend on: the recipe's apply.
FREE_KEYS = {"dropout", "forget_bias"}


@dataclass(frozen=True)
class InitialModel:
    """A trained model, and a fingerprint of its file: sixteen hex digits."""

    path: Path
    checkpoint: Checkpoint
    fingerprint: str


def read_initial(path: Path) -> InitialModel:
    """Read a run folder or a model file. Raises CheckpointError."""
    checkpoint = load_model(path)
    digest = hashlib.sha256(model_path(path).read_bytes()).hexdigest()[:16]
    return InitialModel(path, checkpoint, digest)


def adapted(recipe: Recipe, initial: InitialModel) -> Recipe:
    """The recipe with the initial model's features, architecture and text rule where it does not
    state its own, and LEARNING_RATE where it states none.

    Raises TrainingError when it states other features or another architecture.
    """
    config: ModelConfig = initial.checkpoint.config
    taken: dict[str, dict[str, object]] = {}
    different: list[str] = []
    for section in ("text", "features", "model"):
        own, theirs = getattr(recipe, section), getattr(config, section)
        stated = own.model_fields_set
        taken[section] = {k: v for k, v in theirs.model_dump().items() if k not in stated}
        different += [
            f"{section}.{key} is {getattr(own, key)!r}, not {getattr(theirs, key)!r}"
            for key in type(own).model_fields
            if key in stated and not may_differ(f"{section}.{key}")
            and getattr(own, key) != getattr(theirs, key)
        ]  # fmt: skip
    if different:
        raise TrainingError(
            f"{initial.path}: its weights cannot be used with this recipe: {'; '.join(different)}; "
            "remove these settings from the recipe: without them, the model's own apply"
        )
    if "learning_rate" not in recipe.training.model_fields_set:
        taken["training"] = {"learning_rate": LEARNING_RATE}
    return recipe.replace(**taken)


def may_differ(key: str) -> bool:
    """Whether a recipe may state another value of this setting than the initial model has."""
    section, _, name = key.partition(".")
    return section not in ("features", "model") or name in FREE_KEYS


def freeze(model: RecurrentCTC, layers: int) -> list[nn.Module]:
    """Exclude the lowest recurrent `layers`, and the subsampling, from training. Returns these
    parts, which must stay in evaluation mode. Raises RecipeError for more layers than there are."""
    if layers > len(model.blocks):
        raise RecipeError(
            f"training.freeze: {layers} layers, but the model has {len(model.blocks)}; "
            f"expected 0 to {len(model.blocks)}"
        )
    parts = [model.subsampling, *model.blocks[:layers]] if layers else []
    for part in parts:
        part.requires_grad_(False)
    return parts


def initialise(checkpoint: Checkpoint, initial: Checkpoint) -> None:
    """Copy weights and feature statistics from `initial` into a new model of the same settings.
    Output rows of tokens that `initial` lacks keep their first random values."""
    weights = dict(initial.model.state_dict())
    own = checkpoint.model.state_dict()
    numbers = {token: number for number, token in enumerate(initial.vocabulary.tokens)}
    known = [n for n, token in enumerate(checkpoint.vocabulary.tokens) if token in numbers]
    source = [numbers[checkpoint.vocabulary.tokens[n]] for n in known]
    if new := [token for token in checkpoint.vocabulary.tokens if token not in numbers]:
        shown = ", ".join(map(repr, new[:LISTED])) + (" …" if len(new) > LISTED else "")
        log.info("%ss that the initial model does not have: %s", checkpoint.vocabulary.unit, shown)
    for name in ("head.weight", "head.bias"):
        rows = own[name].clone()
        rows[known] = weights[name][source].to(rows.device)
        weights[name] = rows
    checkpoint.model.load_state_dict(weights)
    checkpoint.extract.mean, checkpoint.extract.std = initial.extract.mean, initial.extract.std
