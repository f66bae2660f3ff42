"""Waveform → frames: log-mel or MFCC.

Design choices:
- One utterance at a time, so a frame's value cannot depend on the rest of the batch.
- No centring: frame k covers samples [k·hop, k·hop + n_fft), so streaming gives the same frames.
- torchaudio's per-frame pieces only. Its `MFCC` transform clips at `top_db` below the loudest
  value of the whole batch, which couples utterances.
- A constant offset larger than the signal is removed, except where a stream must give the same.
- `normalise: speech`: neither the recording's level nor the silence in it changes the features.
  Power is taken relative to the speech level, statistics are over speech frames (`speech_weights`)
  with the training set's as a prior, and values far below the speech are clipped.
- `normalise: running`: the same from the audio so far, for streams (running.py).
"""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad
from torchaudio.functional import compute_deltas, create_dct, melscale_fbanks
from torchaudio.transforms import Spectrogram

from speechgru.errors import RecipeError
from speechgru.recipe import FeatureRecipe

if TYPE_CHECKING:
    from speechgru.running import Running

LOG_FLOOR = 1e-8  # added to mel power: about 16-bit quantisation noise
STD_FLOOR = 1e-3  # a constant band is left unscaled rather than blown up
# For `normalise: speech`, chosen on dev (docs/log.md):
LEVEL_FRAMES = 5  # the speech level is the power of the fifth loudest frame: clicks are shorter
CLICK = 1e-4  # the level is at least this share of the loudest frame's power
RELATIVE_FLOOR = 1e-7  # added to mel power divided by the level
SPEECH_RANGE_DB = 26.0  # frames further below the level are not speech,
FLOOR_MARGIN_DB = 8.0  # nor are frames within this of the noise floor (the 10th percentile)
RUNNING_FLOOR_DB = -18.0  # `running`: no noise floor counts as higher than this, by the level
SOFTNESS_DB = 2.0  # of the threshold between speech and the rest
SPEECH_STD_FLOOR = 0.3  # in nepers of power
LOWEST = -4.0  # normalised values are clipped here
NEED_STATISTICS = ("speech", "running", "global")  # normalisations by the training set's
CAUSAL = ("running", "global", "none")  # those that need no later frames


class FeatureExtractor:
    """Samples at `recipe.sample_rate` Hz → (frames, size) float32.

    frames = 1 + (samples − n_fft) // hop; shorter audio is zero-padded to one frame.

    >>> extract = FeatureExtractor(FeatureRecipe(mels=40))
    >>> extract(np.zeros(16000, np.float32)).shape
    torch.Size([97, 40])

    Args:
        tail: samples of digital silence after the end of each recording, which a model with
            look-ahead reads; they add tail // hop frames.

    Raises RecipeError when mel bands are too narrow for the window's frequency resolution.
    """

    def __init__(self, recipe: FeatureRecipe, tail: int = 0) -> None:
        self.recipe, self.tail = recipe, tail
        self.window, self.hop, self.n_fft = recipe.window, recipe.hop, recipe.n_fft
        self.size = feature_size(recipe)
        self.mean: Tensor | None = None  # (size,) for normalise: global; see fit()
        self.std: Tensor | None = None
        self._spectrogram = Spectrogram(
            n_fft=self.n_fft, win_length=self.window, hop_length=self.hop, center=False
        )
        self._mel = self._mel_filters()
        # mean mel power of white noise at full scale
        window = self._spectrogram.window
        self._full_scale = float(window.square().sum() * self._mel.sum(0).mean())
        self._dct = create_dct(recipe.cepstra, recipe.mels, norm="ortho")

    def __call__(
        self, samples: npt.NDArray[np.float32], warp: float = 1.0, tail: bool = True
    ) -> Tensor:
        """Normalised frames. `warp` stretches the frequency axis (see `warp_frequencies`); without
        `tail`, the samples have it already."""
        return self.normalise(*self.raw(self.with_tail(samples) if tail else samples, warp))

    def with_tail(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n,) → (max(n, n_fft) + tail,)."""
        return np.pad(samples, (0, max(0, self.n_fft - len(samples)) + self.tail))

    def raw(
        self, samples: npt.NDArray[np.float32], warp: float = 1.0, running: "Running | None" = None
    ) -> tuple[Tensor, Tensor]:
        """(samples,) → (frames, size) before normalisation, and (frames,): the weight in [0, 1] of
        each frame in the statistics, 1 for all but `normalise: speech` and `running`."""
        wave = torch.from_numpy(samples)
        if self.recipe.normalise not in CAUSAL and wave.mean().abs() > wave.std(correction=0):
            span = (2 * self.n_fft + 1, 1, self.n_fft)  # local: an offset may begin late, or drift
            wave = wave - avg_pool1d(wave[None], *span, count_include_pad=False)[0]
        wave = pad(wave, (0, max(0, self.n_fft - len(samples))))
        power = self._spectrogram(wave)  # (n_fft // 2 + 1, frames)
        if warp != 1.0:
            power = warp_frequencies(power, warp)
        mel = power.T @ self._mel
        if self.recipe.normalise in ("speech", "running"):
            level, weights = self._level(mel.mean(1), running)
            features = torch.log(mel / level + RELATIVE_FLOOR)
        else:
            features, weights = torch.log(mel + LOG_FLOOR), mel.new_ones(len(mel))
        if self.recipe.kind == "mfcc":
            features = features @ self._dct
        parts = [features]
        for _ in range(self.recipe.deltas):
            parts.append(compute_deltas(parts[-1].T).T)
        return torch.cat(parts, dim=1), weights

    def _level(self, energy: Tensor, running: "Running | None") -> tuple[Tensor, Tensor]:
        """From frame powers (frames,): the speech level as a power, (1,) or for each frame
        (frames, 1), and the weights."""
        if self.recipe.normalise == "running":
            relative = (energy / self._full_scale).numpy()
            levels, floors = map(torch.from_numpy, (running or self.start()).levels(relative))
            level = self._full_scale * 10 ** (levels / 10)
            floors = (floors - levels).clamp(max=RUNNING_FLOOR_DB)
            return level[:, None], speech_weights(energy, level, floors)
        loudest = energy.topk(min(LEVEL_FRAMES, len(energy))).values
        level = torch.maximum(loudest[-1:], CLICK * loudest[:1]).clamp(min=1e-30)
        return level, speech_weights(energy, level)

    def normalise(
        self, features: Tensor, weights: Tensor, running: "Running | None" = None
    ) -> Tensor:
        """Zero mean and unit deviation per dimension: over the utterance, over its speech frames
        (or those so far) with the training set's statistics as a prior, or by the training set's
        alone."""
        kind = self.recipe.normalise
        if kind == "none":
            return features
        if kind == "utterance":
            mean, std = features.mean(0), features.std(0, unbiased=False)
            return (features - mean) / std.clamp(min=STD_FLOOR)
        if kind in ("speech", "running"):
            if kind == "speech":
                mean, std = self._speech_statistics(features, weights)
            else:
                arrays = features.numpy(), weights.numpy(), self._prior().numpy()
                mean, std = map(torch.from_numpy, (running or self.start()).statistics(*arrays))
            return ((features - mean) / std.clamp(min=SPEECH_STD_FLOOR)).clamp(min=LOWEST)
        if self.mean is None or self.std is None:
            raise RuntimeError("normalise: global needs statistics; call fit() or load them")
        return (features - self.mean) / self.std.clamp(min=STD_FLOOR)

    def _speech_statistics(self, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the weighted frames and of `normalise_prior` frames like the
        training set's; before fit(), of the utterance's frames alone."""
        count, total, squares = self._prior().float()
        count, total = count + weights.sum(), total + weights @ features
        squares = squares + weights @ features.square()
        mean = total / count
        return mean, (squares / count - mean.square()).clamp(min=0).sqrt()

    def _prior(self) -> Tensor:
        """(3, size) float64: the number of frames, the sum and the sum of squares that the training
        set's statistics count for; before fit(), 0."""
        if self.mean is None or self.std is None:
            return torch.zeros(3, self.size, dtype=torch.float64)
        mean, std = self.mean.double(), self.std.double()
        one = torch.ones_like(mean)
        return self.recipe.normalise_prior * torch.stack([one, mean, std.square() + mean.square()])

    def fit(self, utterances: Iterable[npt.NDArray[np.float32]]) -> None:
        """Mean and deviation of each dimension over the (speech) frames of `utterances`."""
        count = 0.0
        total, squares = (torch.zeros(self.size).double() for _ in range(2))
        for samples in utterances:
            features, weights = (part.double() for part in self.raw(samples))
            count += float(weights.sum())
            total += weights @ features
            squares += weights @ features.square()
        mean = total / count
        self.mean = mean.float()
        self.std = (squares / count - mean.square()).clamp(min=0).sqrt().float()

    def start(self) -> "Running":
        """What `normalise: running` carries from one piece of a recording to the next."""
        from speechgru.running import Running  # numba is not imported for other normalisations

        return Running(self.size, self.recipe.frames_per_second)

    @property
    def needs_statistics(self) -> bool:
        """Whether normalisation needs the training set's statistics and has none yet."""
        return self.recipe.normalise in NEED_STATISTICS and self.mean is None

    def _mel_filters(self) -> Tensor:
        """(n_fft // 2 + 1, mels), Slaney's scale and area norm, as librosa's default."""
        recipe = self.recipe
        high = recipe.high_hz or recipe.sample_rate / 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about empty filters, which are refused below
            filters: Tensor = melscale_fbanks(
                self.n_fft // 2 + 1, recipe.low_hz, high, recipe.mels, recipe.sample_rate,
                norm="slaney", mel_scale="slaney",
            )  # fmt: skip
        empty = int((filters.amax(0) == 0).sum())
        if empty:
            raise RecipeError(
                f"features: {empty} of {recipe.mels} mel bands contain no frequency bin at "
                f"{recipe.sample_rate} Hz with a {recipe.window_ms:g} ms window: lower "
                "features.mels, or raise features.window_ms"
            )
        return filters


def feature_size(recipe: FeatureRecipe) -> int:
    """Values per frame."""
    return (recipe.cepstra if recipe.kind == "mfcc" else recipe.mels) * (1 + recipe.deltas)


def speech_weights(energy: Tensor, level: Tensor, floor: Tensor | None = None) -> Tensor:
    """How much each frame counts as speech, (frames,) in [0, 1], from frame powers (frames,).

    The threshold is SPEECH_RANGE_DB below the level, or FLOOR_MARGIN_DB above the noise floor where
    that is higher, even if it is above the level: in noise as loud as the speech, the training
    set's statistics are used. `floor`: of each frame, in dB relative to its level; the 10th
    percentile if None.
    """
    decibels = 10 * torch.log10(energy / level + 1e-12)
    if floor is None:
        floor = torch.quantile(decibels, 0.1)
    threshold = (floor + FLOOR_MARGIN_DB).clamp(min=-SPEECH_RANGE_DB)
    return torch.sigmoid((decibels - threshold) / SOFTNESS_DB)


def warp_frequencies(power: Tensor, factor: float) -> Tensor:
    """Read bin k of (bins, frames) at k·factor, linearly between bins: a longer or shorter vocal
    tract (Jaitly & Hinton 2013, "Vocal tract length perturbation"), here without that paper's
    bend near the top; bins past the top repeat the last."""
    source = (torch.arange(len(power)) * factor).clamp(max=len(power) - 1)
    below = source.floor().long()
    above = (below + 1).clamp(max=len(power) - 1)
    share = (source - below)[:, None]
    return torch.lerp(power[below], power[above], share)
