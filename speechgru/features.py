"""Waveform → frames: log-mel or MFCC.

Design choices:
- One utterance at a time, so a frame's value cannot depend on the rest of the batch.
- No centring: frame k covers samples [k·hop, k·hop + n_fft), so streaming gives the same frames.
- torchaudio's per-frame pieces only. Its `MFCC` transform clips at `top_db` below the loudest
  value of the whole batch, which couples utterances.
"""

import warnings
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchaudio.functional import compute_deltas, create_dct, melscale_fbanks
from torchaudio.transforms import Spectrogram

from speechgru.errors import RecipeError
from speechgru.recipe import FeatureRecipe

LOG_FLOOR = 1e-8  # added to mel power: about 16-bit quantisation noise
STD_FLOOR = 1e-3  # a constant band is left unscaled rather than blown up


class FeatureExtractor:
    """Samples at `recipe.sample_rate` Hz → (frames, size) float32.

    frames = 1 + (samples − n_fft) // hop; shorter audio is zero-padded to one frame.

    >>> extract = FeatureExtractor(FeatureRecipe(mels=40))
    >>> extract(np.zeros(16000, np.float32)).shape
    torch.Size([97, 40])

    Raises RecipeError when mel bands are too narrow for the window's frequency resolution.
    """

    def __init__(self, recipe: FeatureRecipe) -> None:
        self.recipe = recipe
        self.window = round(recipe.window_ms * recipe.sample_rate / 1000)
        self.hop = recipe.hop
        self.n_fft = 1 << (self.window - 1).bit_length()
        self.size = feature_size(recipe)
        self.mean: Tensor | None = None  # (size,) for normalise: global; see fit()
        self.std: Tensor | None = None
        self._spectrogram = Spectrogram(
            n_fft=self.n_fft, win_length=self.window, hop_length=self.hop, center=False
        )
        self._mel = self._mel_filters()
        self._dct = create_dct(recipe.cepstra, recipe.mels, norm="ortho")

    def frames(self, samples: int) -> int:
        """Number of frames for a number of samples."""
        return 1 + max(0, samples - self.n_fft) // self.hop

    def __call__(self, samples: npt.NDArray[np.float32], warp: float = 1.0) -> Tensor:
        """Normalised frames. `warp` stretches the frequency axis (see `warp_frequencies`)."""
        return self.normalise(self.raw(samples, warp))

    def raw(self, samples: npt.NDArray[np.float32], warp: float = 1.0) -> Tensor:
        """(samples,) → (frames, size) before normalisation."""
        wave = torch.from_numpy(samples)
        if len(samples) < self.n_fft:
            wave = torch.nn.functional.pad(wave, (0, self.n_fft - len(samples)))
        power = self._spectrogram(wave)  # (n_fft // 2 + 1, frames)
        if warp != 1.0:
            power = warp_frequencies(power, warp)
        features = torch.log(power.T @ self._mel + LOG_FLOOR)
        if self.recipe.kind == "mfcc":
            features = features @ self._dct
        parts = [features]
        for _ in range(self.recipe.deltas):
            parts.append(compute_deltas(parts[-1].T).T)
        return torch.cat(parts, dim=1)

    def normalise(self, features: Tensor) -> Tensor:
        """Zero mean and unit deviation per dimension, over the utterance or by global statistics."""
        if self.recipe.normalise == "none":
            return features
        if self.recipe.normalise == "utterance":
            mean, std = features.mean(0), features.std(0, unbiased=False)
        elif self.mean is None or self.std is None:
            raise RuntimeError("normalise: global needs statistics; call fit() or load them")
        else:
            mean, std = self.mean, self.std
        return (features - mean) / std.clamp(min=STD_FLOOR)

    def fit(self, utterances: Iterable[npt.NDArray[np.float32]]) -> None:
        """Global mean and deviation of each dimension over all frames of `utterances`."""
        count, total, squares = 0, torch.zeros(self.size).double(), torch.zeros(self.size).double()
        for samples in utterances:
            features = self.raw(samples).double()
            count += len(features)
            total += features.sum(0)
            squares += features.square().sum(0)
        mean = total / count
        self.mean = mean.float()
        self.std = (squares / count - mean.square()).clamp(min=0).sqrt().float()

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
                f"{recipe.sample_rate} Hz with a {recipe.window_ms:g} ms window: lower features.mels, or "
                "raise features.window_ms"
            )
        return filters


def feature_size(recipe: FeatureRecipe) -> int:
    """Values per frame."""
    return (recipe.cepstra if recipe.kind == "mfcc" else recipe.mels) * (1 + recipe.deltas)


def warp_frequencies(power: Tensor, factor: float) -> Tensor:
    """Read bin k of (bins, frames) at k·factor, linearly between bins: a longer or shorter vocal
    tract (Jaitly & Hinton 2013, "Vocal tract length perturbation"), here without that paper's
    bend near the top; bins past the top repeat the last."""
    source = (torch.arange(len(power)) * factor).clamp(max=len(power) - 1)
    below = source.floor().long()
    above = (below + 1).clamp(max=len(power) - 1)
    share = (source - below)[:, None]
    return torch.lerp(power[below], power[above], share)
