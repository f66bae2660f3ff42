"""RecurrentCTC: (features, lengths) → (log_probs, lengths), or piece by piece with a state.

Design choices:
- Lengths are int64 frame counts from loading to loss. Frames past a row's length are zeroed before
  any layer that reads them, so a row's output never depends on its batch mates.
- Subsampling by stacking or by convolution; both give ⌈frames / factor⌉ model frames.
- Dropout is applied between recurrent layers and before the head, never on the features
  (augmentation is for them; docs/log.md has the figures) and never inside a recurrence.
- Look-ahead of a unidirectional model is a delay (Sak et al. 2015, arXiv 1507.06947): output t is
  computed after frame t + `lookahead`, by the recurrent layers themselves. Past the end of the
  audio they read silence, which the features contain (`FeatureExtractor.tail`): were it anything
  else, the model would learn to wait for it, and be late wherever silence follows (docs/log.md).
- `step` runs a unidirectional model on a piece of one recording. It keeps what later outputs need,
  so that the pieces' outputs are those of the whole.
"""

import math
import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechgru.cells import CELLS, Cell, RecurrentLayer
from speechgru.cells.base import State
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

    def initial_state(self, like: Tensor) -> State:
        return (like.new_zeros(1, 0, self.output_size // self.factor),)

    def step(self, x: Tensor, state: State, last: bool) -> tuple[Tensor, State]:
        """As `RecurrentCTC.step`; the state has the frames that do not fill a model frame yet."""
        x = torch.cat([state[0], x], dim=1)
        if last:
            x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % self.factor))
        whole = x.shape[1] // self.factor * self.factor
        return x[:, :whole].reshape(1, -1, self.output_size), (x[:, whole:],)


class Convolution(nn.Module):
    """Two 3 × 3 convolutions over time and frequency with ReLU; strides in time multiply to
    `factor`, in frequency to 4 (a small version of Deep Speech 2's, arXiv 1512.02595).

    (batch, frames, size) → (batch, ⌈frames / factor⌉, channels · ⌈⌈size / 2⌉ / 2⌉)
    """

    STRIDES = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}  # noqa: RUF012 (a constant)

    def __init__(self, size: int, factor: int, channels: int) -> None:
        super().__init__()
        # oneDNN compiles and keeps a convolution for every shape of a batch, by default 1,024:
        # gigabytes in training. It reads this variable when it compiles the first.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
        self.size, self.strides = size, self.STRIDES[factor]
        sizes = [1, channels, channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 3, stride=(self.strides[i], 2), padding=1)
            for i in range(2)
        )
        self.output_size = channels * math.ceil(math.ceil(size / 2) / 2)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = x[:, None]  # (batch, 1, frames, size)
        for layer, stride in zip(self.layers, self.strides, strict=True):
            x = layer(x)
            lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
            # The next convolution reads one frame past the end, which must be zero.
            x = x.mul_(valid_frames(lengths, x.shape[2])[:, None, :, None]).relu_()
        return x.permute(0, 2, 1, 3).flatten(2), lengths

    def convolutions(self) -> list[nn.Conv2d]:
        return [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]

    def initial_state(self, like: Tensor) -> State:
        """For each convolution the zero frame before the first."""
        sizes = self.size, math.ceil(self.size / 2)
        return tuple(
            like.new_zeros(1, conv.in_channels, 1, size)
            for conv, size in zip(self.convolutions(), sizes, strict=True)
        )

    def step(self, x: Tensor, state: State, last: bool) -> tuple[Tensor, State]:
        """As `RecurrentCTC.step`; the state has the frames that later outputs need."""
        x = x[:, None]
        kept = []
        for conv, stride, before in zip(self.convolutions(), self.strides, state, strict=True):
            x = torch.cat([before, x], dim=2)
            if last:
                x = nn.functional.pad(x, (0, 0, 0, 1))
            count = max(0, (x.shape[2] - 3) // stride + 1)
            kept.append(x[:, :, count * stride :])
            if not count:
                x = x.new_zeros(1, conv.out_channels, 0, math.ceil(x.shape[3] / 2))
                continue
            part = nn.functional.conv2d(x, conv.weight, conv.bias, (stride, 2), padding=(0, 1))
            x = torch.relu(part)
        return x.permute(0, 2, 1, 3).flatten(2), tuple(kept)


class Dropout(nn.Module):
    """In training, zero a share of the values and scale the others up to preserve the mean.

    Like nn.Dropout, which is ten times as slow on a CPU (docs/log.md). Each value is decided by 16
    random bits, so that the share is a multiple of 1/65,536.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.kept = max(1, round((1 - share) * 65_536))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.kept == 65_536:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, 1 - self.kept / 65_536)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        return x * (bits < self.kept - 32_768).to(x.dtype).mul_(65_536 / self.kept)


def check_cell(recipe: ModelRecipe) -> None:
    """Raises RecipeError for a cell that is not in the table."""
    if recipe.cell not in CELLS:
        raise RecipeError(f"model.cell {recipe.cell!r}: expected one of {', '.join(CELLS)}")


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

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        lengths = torch.tensor([x.shape[1]], device=x.device)
        y, state = self.recurrent(self.norm(x), lengths, state)
        return y, state


@dataclass(frozen=True, slots=True)
class ModelState:
    """What a unidirectional model remembers of one recording between two pieces of it."""

    subsampling: State  # frames that later model frames need
    recurrent: tuple[State, ...]  # of each layer
    delay: int  # outputs still to be dropped


class RecurrentCTC(nn.Module):
    """Subsampling, a stack of recurrent layers and a linear CTC head.

    features (batch, frames, size) float32, zero past each length; lengths (batch,) int64 →
    log_probs (batch, ⌈frames / factor⌉ − lookahead, vocabulary), lengths (batch,) int64.

    Raises RecipeError for a cell that is not in the table.
    """

    def __init__(self, recipe: ModelRecipe, feature_size: int, vocabulary_size: int) -> None:
        super().__init__()
        check_cell(recipe)
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
        delay = self.recipe.lookahead
        for block in self.blocks:
            x = block(x, lengths)
        return self._log_probs(x[:, delay:]), lengths - delay

    def _log_probs(self, x: Tensor) -> Tensor:
        logits = self.head(self.dropout(self.norm(x)))
        precision = torch.promote_types(logits.dtype, torch.float32)  # never half
        return nn.functional.log_softmax(logits.to(precision), dim=-1)

    def initial_state(self) -> ModelState:
        """For `step`, at the start of a recording. Raises RecipeError for a bidirectional model."""
        if self.recipe.bidirectional:
            raise RecipeError(
                "the model is bidirectional and needs the whole recording: give it a file, or for "
                "a stream train one with model.bidirectional=false model.lookahead=15 "
                "features.normalise=running"
            )
        return ModelState(
            self.subsampling.initial_state(self.head.weight),
            tuple(layer.initial_state(1) for layer in self.recurrent_layers()),
            self.recipe.lookahead,
        )

    def step(
        self, features: Tensor, state: ModelState, last: bool = False
    ) -> tuple[Tensor, ModelState]:
        """The next outputs of one recording: features (1, frames, size) →
        log_probs (1, n, vocabulary), where n may be 0, and the new state.

        With `last`, all that remain. All pieces together give what `forward` gives for the whole.
        """
        x, subsampling = self.subsampling.step(features, state.subsampling, last)
        recurrent = []
        for block, before in zip(self.blocks, state.recurrent, strict=True):
            assert isinstance(block, RecurrentBlock)
            x, after = block.step(x, before)
            recurrent.append(after)
        dropped = min(state.delay, x.shape[1])
        new = ModelState(subsampling, tuple(recurrent), state.delay - dropped)
        return self._log_probs(x[:, dropped:]), new

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
        subsampling = model.subsampling
        for conv, stride in zip(subsampling.convolutions(), subsampling.strides, strict=True):
            per_second, size = per_second / stride, math.ceil(size / 2)
            total += per_second * size * conv.weight.numel()
    for module in model.modules():
        if isinstance(module, Cell):
            total += rate * module.macs_per_frame(module.input_size, module.hidden_size)
        elif isinstance(module, nn.Linear):  # the head
            total += rate * module.weight.numel()
    return total
