"""What a model is, in figures: size, work, frame rate, latency."""

import os
from collections.abc import Iterable
from pathlib import Path

from speechgru.checkpoint import MODEL_FILE, Checkpoint, ModelConfig, load_model, new_checkpoint
from speechgru.errors import RecipeError
from speechgru.model import Convolution, macs_per_second, parameter_count
from speechgru.recipe import load_recipe
from speechgru.text import Vocabulary

EXAMPLE = "abcdefghijklmnopqrstuvwxyz '"


def describe(source: str, overrides: Iterable[str] = ()) -> dict[str, str]:
    """Rows (name → value in words) for a run folder, a model file or a recipe."""
    path = Path(source)
    trained = path.suffix == ".safetensors" or os.path.exists(path / MODEL_FILE)
    if trained:
        if refused := list(overrides):
            raise RecipeError(
                f"{refused[0]!r:.80}: {source} is a trained model; only recipes take changes"
            )
        checkpoint = load_model(path)
        vocabulary = str(checkpoint.vocabulary)
    else:
        recipe = load_recipe(source, overrides)
        config = ModelConfig(text=recipe.text, features=recipe.features, model=recipe.model)
        checkpoint = new_checkpoint(config, Vocabulary.from_texts([EXAMPLE]), {})
        vocabulary = f"{checkpoint.vocabulary} assumed; training takes the data's own"
    features, model = checkpoint.config.features, checkpoint.config.model
    frames_per_second = features.frames_per_second
    count = parameter_count(checkpoint.model)
    ways = "two-way" if model.bidirectional else "one-way"
    rows = {
        "model": f"{model.layers} × {model.hidden_size} {ways} {model.cell}, {model.subsampling} "
        f"×{model.factor}",
        "features": f"{features.kind}, {checkpoint.extract.size} values a frame, "
        f"{features.window_ms:g} ms windows every {features.hop_ms:g} ms at "
        f"{features.sample_rate} Hz, normalised: {features.normalise}",
        "vocabulary": vocabulary,
        "parameters": f"{count:,} ({count * 4 / 1e6:.1f} MB as float32)",
        "work": f"{macs_per_second(checkpoint.model, frames_per_second) / 1e6:,.1f} million "
        "multiply-accumulates a second of audio",
        "frame rate": f"{frames_per_second / model.factor:.1f} model frames a second "
        f"({1000 * model.factor / frames_per_second:g} ms each)",
        "latency": _latency(checkpoint),
    }
    if trained:
        rows["trained"] = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in checkpoint.about.items()
        )
    return rows


def _latency(checkpoint: Checkpoint) -> str:
    if checkpoint.model.recipe.bidirectional:
        return "the whole utterance (two-way layers read it from both ends)"
    if checkpoint.config.features.normalise == "utterance":
        return "the whole utterance (features are normalised over it)"
    return f"{look_ahead_ms(checkpoint):g} ms from a model frame's beginning to its last sample"


def look_ahead_ms(checkpoint: Checkpoint) -> float:
    """Milliseconds of sound that a one-way model's frame waits for, from its own beginning on."""
    model, features = checkpoint.model, checkpoint.config.features
    frames = model.recipe.factor - 1
    if isinstance(model.subsampling, Convolution):
        first, _ = model.subsampling.strides
        frames = 1 + first  # one frame of padding each; the second counts `first` frames
    frames += 2 * features.deltas  # a slope is taken over two frames on either side
    # a frame spans n_fft samples, with the window in their middle
    return (
        1000 * (frames * checkpoint.extract.hop + checkpoint.extract.n_fft) / features.sample_rate
    )
