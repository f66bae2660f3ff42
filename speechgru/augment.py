"""Augmentation: changes to training utterances that keep their words.

Every random draw comes from a generator keyed by (seed, epoch, utterance id): it never depends on
worker count, batch, cell, or what ran before, so two cells compared with one seed train on the same
data.
"""

import logging
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speechgru.audio import read_audio, resample
from speechgru.errors import AudioError
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance
from speechgru.recipe import AugmentRecipe, FeatureRecipe

Samples = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class Augment:
    """Samples → normalised, augmented features, for one seed. `noises`: recordings to mix in; one
    that cannot be decoded is reported once, and the utterance is used without noise."""

    def __init__(
        self,
        recipe: AugmentRecipe,
        extract: FeatureExtractor,
        seed: int,
        noises: Sequence[Utterance] = (),
    ) -> None:
        self.recipe, self.extract, self.seed, self.noises = recipe, extract, seed, noises
        self._reported: set[str] = set()

    def __call__(self, samples: Samples, utterance_id: str, epoch: int) -> Tensor:
        """(samples,) → (frames, size)."""
        recipe, rng = self.recipe, generator(self.seed, epoch, utterance_id)
        factor = recipe.speed[rng.integers(len(recipe.speed))]
        if factor != 1.0:
            samples = change_speed(samples, factor)
        if self.noises and rng.random() < recipe.noise_probability:
            noise = self._noise(rng, len(samples))
            snr_db = rng.uniform(*recipe.noise_snr_db)
            samples = samples if noise is None else mix(samples, noise, snr_db)
        warp = 1.0 + recipe.frequency_warp * rng.uniform(-1, 1)
        features = self.extract(samples, warp if recipe.frequency_warp else 1.0)
        return spec_augment(features, recipe, self.extract.recipe, rng)

    def _noise(self, rng: np.random.Generator, length: int) -> Samples | None:
        """`length` samples from a noise recording, repeated if it is shorter; None if it cannot be
        decoded."""
        noise: Utterance = self.noises[int(rng.integers(len(self.noises)))]
        rate = self.extract.recipe.sample_rate
        seconds = min(noise.duration, length / rate)
        start = noise.offset + rng.uniform(0, noise.duration - seconds)
        try:
            return np.resize(read_audio(noise.audio, rate, start, seconds), length)
        except AudioError as error:
            if noise.id not in self._reported:
                self._reported.add(noise.id)
                log.warning("noise %s is not mixed in: %s", noise.id, error)
            return None


def generator(seed: int, epoch: int, utterance_id: str) -> np.random.Generator:
    """The only source of randomness for an utterance in an epoch."""
    return np.random.default_rng([seed, epoch, zlib.crc32(utterance_id.encode())])


def change_speed(samples: Samples, factor: float) -> Samples:
    """Speed up by `factor`, pitch included (Ko et al. 2015, "Audio augmentation for speech
    recognition"): (n,) → about n / factor samples."""
    return resample(samples, round(1000 * factor), 1000)


def mix(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """Add noise of the same length, scaled to a signal-to-noise ratio of `snr_db`."""
    speech_power, noise_power = float(np.mean(samples**2)), float(np.mean(noise**2))
    if speech_power == 0 or noise_power == 0:
        return samples
    gain = np.sqrt(speech_power / noise_power / 10 ** (snr_db / 10))
    return (samples + np.float32(gain) * noise).astype(np.float32)


def spec_augment(
    features: Tensor, recipe: AugmentRecipe, kind: FeatureRecipe, rng: np.random.Generator
) -> Tensor:
    """Mask random bands and spans of frames with their mean: zero, or the utterance's own where
    features are not normalised (SpecAugment, Park et al. 2019, arXiv 1904.08779, without time
    warping).

    A band is masked in the deltas too, which would reveal it. MFCC are masked in the same
    proportion as mel bands, so that the two can be compared. A time mask covers at most a fifth of
    the utterance.
    """
    if not recipe.frequency_masks and not recipe.time_masks:
        return features
    blocks = features.clone().reshape(len(features), 1 + kind.deltas, -1)  # (frames, …, bands)
    frames, _, bands = blocks.shape
    mean = blocks.mean(0) if kind.normalise == "none" else torch.zeros_like(blocks[0])
    widest = min(round(recipe.frequency_mask_width * bands / kind.mels), bands // 2)
    for _ in range(recipe.frequency_masks):
        start, width = _span(rng, bands, widest)
        blocks[:, :, start : start + width] = mean[:, start : start + width]
    per_ten_seconds = frames / kind.frames_per_second / 10
    for _ in range(max(1, round(recipe.time_masks * per_ten_seconds)) if recipe.time_masks else 0):
        start, width = _span(rng, frames, min(recipe.time_mask_frames, frames // 5))
        blocks[start : start + width] = mean
    return blocks.flatten(1)


def _span(rng: np.random.Generator, length: int, widest: int) -> tuple[int, int]:
    """(start, width) of a random part of `length`, at most `widest` wide."""
    width = int(rng.integers(widest + 1))
    return int(rng.integers(length - width + 1)), width
