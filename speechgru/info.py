"""Size, compute, frame rate and latency of a model, trained or described by a recipe."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.checkpoint import (
    MODEL_FILE,
    Checkpoint,
    ModelConfig,
    frame_timing,
    load_model,
    new_checkpoint,
)
from speechgru.errors import RecipeError
from speechgru.features import CAUSAL
from speechgru.model import Convolution, macs_per_second, parameter_count
from speechgru.model_file import begins_as_safetensors
from speechgru.recipe_file import find_recipe, load_recipe
from speechgru.text import Vocabulary

EXAMPLE = "abcdefghijklmnopqrstuvwxyz '"  # the characters assumed of a model not yet trained


@dataclass(frozen=True)
class ModelInfo:
    """A checkpoint and figures computed from it."""

    checkpoint: Checkpoint
    trained: bool  # else as a recipe describes it, with the vocabulary of EXAMPLE
    parameters: int
    macs: float  # multiply-accumulates per second of audio
    seconds_per_frame: float  # of the model
    look_ahead: float | None  # seconds, see `look_ahead`; None: to the end of the utterance


def describe(source: str, overrides: Sequence[str] = ()) -> ModelInfo:
    """Describe a run folder, a model file or a recipe.

    Raises RecipeError (no such recipe, overrides of a trained model) and CheckpointError.
    """
    path = Path(source)
    trained = (
        path.suffix == ".safetensors"
        or os.path.exists(path / MODEL_FILE)
        or begins_as_safetensors(path)
    )
    if trained:
        if overrides:
            raise RecipeError(
                f"{overrides[0]!r:.80}: {source} is a trained model; "
                "only settings of a recipe can be changed"
            )
        checkpoint = load_model(path)
    else:
        recipe = load_recipe(find_recipe(source, "a run folder, a model file, "), overrides)
        config = ModelConfig(text=recipe.text, features=recipe.features, model=recipe.model)
        checkpoint = new_checkpoint(config, Vocabulary.from_texts([EXAMPLE]), {})
    features = checkpoint.config.features
    streams = not checkpoint.config.model.bidirectional and features.normalise in CAUSAL
    return ModelInfo(
        checkpoint=checkpoint,
        trained=trained,
        parameters=parameter_count(checkpoint.model),
        macs=macs_per_second(checkpoint.model, features.frames_per_second),
        seconds_per_frame=frame_timing(checkpoint)[0],
        look_ahead=look_ahead(checkpoint) if streams else None,
    )


def look_ahead(checkpoint: Checkpoint) -> float:
    """Algorithmic latency of a unidirectional model: seconds of audio that a model frame needs,
    counted from its own beginning."""
    model, features = checkpoint.model, checkpoint.config.features
    frames = model.recipe.factor - 1
    if isinstance(model.subsampling, Convolution):
        first, _ = model.subsampling.strides
        frames = 1 + first  # one frame of padding each; the second's is `first` feature frames
    frames += model.recipe.lookahead * model.recipe.factor
    frames += 2 * features.deltas  # a slope is taken over two frames on either side
    # a feature frame spans n_fft samples, with the window in their middle
    return (frames * features.hop + checkpoint.extract.n_fft) / features.sample_rate
