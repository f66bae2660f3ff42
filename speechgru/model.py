"""RecurrentCTC: (features, lengths) → (log_probs, lengths), and nothing else.

Design choices:
- Lengths are int64 frame counts from loading to loss. Frames past a row's length are zeroed before
  any layer that reads them, so a row's output never depends on its batch mates.
- Subsampling by stacking or by convolution; both give ⌈frames / factor⌉ model frames.
- Dropout is applied between recurrent layers and before the head, never on the features
  (augmentation is for them; docs/log.md has the figures) and never inside a recurrence.
"""

import math

import torch
from torch import Tensor, nn

from speechgru.cells import CELLS, Cell, RecurrentLayer
from speechgru.cells.unroll import valid_frames
from speechgru.errors import RecipeError
from speechgru.recipe import ModelRecipe


class Stack(nn.Module):
    """Concatenate `factor` neighbouring frames: (batch, frames, size) →
    (batch, ⌈frames / factor⌉, factor·size); the last is padded with zeros."""

    def __init__(self, size: int, factor: int) -> None:
        super().__init__()
        self.factor, self.output_size = factor, size * factor

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames, size = x.shape
        x = nn.functional.pad(x, (0, 0, 0, -frames % self.factor))
        x = x.reshape(batch, -1, self.factor * size)
        return x, torch.div(lengths + self.factor - 1, self.factor, rounding_mode="floor")


class Convolution(nn.Module):
    """Two 3 × 3 convolutions over time and frequency with ReLU; strides in time multiply to
    `factor`, in frequency to 4 (a small version of Deep Speech 2's, arXiv 1512.02595).

    (batch, frames, size) → (batch, ⌈frames / factor⌉, channels · ⌈⌈size / 2⌉ / 2⌉)
    """

    STRIDES = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}  # noqa: RUF012 (a constant)

    def __init__(self, size: int, factor: int, channels: int) -> None:
        super().__init__()
        self.strides = self.STRIDES[factor]
        sizes = [1, channels, channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 3, stride=(self.strides[i], 2), padding=1)
            for i in range(2)
        )
        self.output_size = channels * math.ceil(math.ceil(size / 2) / 2)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = x[:, None]  # (batch, 1, frames, size)
        for layer, stride in zip(self.layers, self.strides, strict=True):
            x = torch.relu(layer(x))
            lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
            # The next convolution reads one frame past the end, which must be zero.
            x = x * valid_frames(lengths, x.shape[2])[:, None, :, None]
        return x.permute(0, 2, 1, 3).flatten(2), lengths


class Dropout(nn.Module):
    """In training, zero a share of the values and scale the others up to preserve the mean.

    Like nn.Dropout, which is ten times as slow on a CPU (docs/log.md). Each value is decided by 16
    random bits, so that the share is a multiple of 1/65,536.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.kept = round((1 - share) * 65_536)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.kept == 65_536:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, 1 - self.kept / 65_536)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (bits < self.kept - 32_768).to(x.dtype).mul_(65_536 / self.kept)


class RecurrentBlock(nn.Module):
    """norm → dropout → recurrent layer."""

    def __init__(self, recipe: ModelRecipe, input_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(input_size) if recipe.layer_norm else nn.Identity()
        self.dropout = Dropout(dropout)
        self.recurrent = RecurrentLayer(
            CELLS[recipe.cell],
            input_size,
            recipe.hidden_size,
            recipe.bidirectional,
            recipe.forget_bias,
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y: Tensor = self.recurrent(self.dropout(self.norm(x)), lengths)[0]
        return y


class RecurrentCTC(nn.Module):
    """Subsampling, a stack of recurrent layers and a linear CTC head.

    features (batch, frames, size) float32, zero past each length; lengths (batch,) int64 →
    log_probs (batch, ⌈frames / factor⌉, vocabulary), lengths (batch,) int64.

    Raises RecipeError for a cell that is not in the table.
    """

    def __init__(self, recipe: ModelRecipe, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        if recipe.cell not in CELLS:
            raise RecipeError(f"model.cell {recipe.cell!r}: expected one of {', '.join(CELLS)}")
        self.recipe, self.feature_size = recipe, feature_size
        self.subsampling: Stack | Convolution = (
            Stack(feature_size, recipe.factor)
            if recipe.subsampling == "stack"
            else Convolution(feature_size, recipe.factor, recipe.conv_channels)
        )
        blocks: list[RecurrentBlock] = []
        size = self.subsampling.output_size
        for number in range(recipe.layers):
            blocks.append(RecurrentBlock(recipe, size, recipe.dropout if number else 0.0))
            size = blocks[-1].recurrent.output_size
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(size) if recipe.layer_norm else nn.Identity()
        self.dropout = Dropout(recipe.dropout)
        self.head = nn.Linear(size, vocabulary_size)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.subsampling(features, lengths)
        for block in self.blocks:
            x = block(x, lengths)
        logits = self.head(self.dropout(self.norm(x)))
        precision = torch.promote_types(logits.dtype, torch.float32)  # never half
        return nn.functional.log_softmax(logits.to(precision), dim=-1), lengths

    def recurrent_layers(self) -> list[RecurrentLayer]:
        return [module for module in self.modules() if isinstance(module, RecurrentLayer)]


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def macs_per_second(model: RecurrentCTC, frames_per_second: float) -> float:
    """Multiply-accumulates of the matrix products per second of audio; elementwise work and
    features are not counted."""
    rate = frames_per_second / model.recipe.factor
    total = 0.0
    if isinstance(model.subsampling, Convolution):
        per_second, size = frames_per_second, model.feature_size
        for layer, stride in zip(model.subsampling.layers, model.subsampling.strides, strict=True):
            per_second, size = per_second / stride, math.ceil(size / 2)
            assert isinstance(layer, nn.Conv2d)
            total += per_second * size * layer.weight.numel()
    for module in model.modules():
        if isinstance(module, Cell):
            total += rate * module.macs_per_frame(module.input_size, module.hidden_size)
        elif isinstance(module, nn.Linear):  # the head
            total += rate * module.weight.numel()
    return total
