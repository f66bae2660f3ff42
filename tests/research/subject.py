"""Model files with small untrained models, for probes to measure like trained ones."""

from pathlib import Path
from typing import Literal

import torch
from tones import RATE

from speechgru.checkpoint import ModelConfig, new_checkpoint, save_model
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.text import Vocabulary


def write_subject(
    path: Path,
    cell: str = "gru",
    seed: int = 1,
    bidirectional: bool = False,
    layers: int = 1,
    subsampling: Literal["stack", "conv"] = "stack",
) -> Path:
    """An untrained model that always emits a letter, with the features of the tones corpus."""
    config = ModelConfig(
        text=TextRecipe(),
        features=FeatureRecipe(sample_rate=RATE, mels=20, low_hz=100, normalise="utterance"),
        model=ModelRecipe(
            cell=cell,
            layers=layers,
            hidden_size=8,
            bidirectional=bidirectional,
            factor=2,
            dropout=0.0,
            subsampling=subsampling,
            layer_norm=subsampling == "conv",
        ),
    )
    torch.manual_seed(100 + seed)
    checkpoint = new_checkpoint(config, Vocabulary.from_texts(["am o"]), {"seed": seed})
    checkpoint.model.head.bias.data[checkpoint.vocabulary.blank] = -10.0
    checkpoint.model.head.weight.data *= 20.0  # different letters in different frames
    save_model(path, checkpoint)
    return path
