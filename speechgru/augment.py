"""Changes to training utterances that keep their words.

Every draw comes from a generator keyed by (seed, epoch, utterance): it never depends on worker
count, batch, cell, or what ran before, so two cells compared with one seed are trained on the same
data. Acoustic effects come first (`acoustics.py`), then vocal-tract warping and SpecAugment.
"""

import logging
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from speechgru import acoustics
from speechgru.audio import Samples, read_audio, resample
from speechgru.errors import AudioError
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance
from speechgru.recipe import AugmentRecipe, FeatureRecipe

Example = tuple[Samples, list[int]]  # an utterance's samples and its tokens
log = logging.getLogger(__name__)

LONGEST_JOINED = 15.0  # seconds; nothing more is joined to an utterance of this length
BACKGROUNDS = ("white", "pink", "brown", "hum")
NOISES = (*BACKGROUNDS, "babble")
CODECS = ("mu-law", "mp3", "opus")
NONSPEECH = (*BACKGROUNDS, "tones", "lsb", "silence")


class Augment:
    """A training utterance → augmented, normalised features and tokens, for one seed.

    `read(index)` returns the samples and tokens of a training utterance, None if it cannot be
    decoded; there are `count`. `space`: the tokens between joined utterances. `noises`: recordings
    to mix in; one that cannot be decoded is reported once and the utterance stays as it is.
    `views`: versions of each utterance, which differ in their masks alone.
    """

    def __init__(
        self,
        recipe: AugmentRecipe,
        extract: FeatureExtractor,
        seed: int,
        read: Callable[[int], Example | None],
        count: int,
        space: Sequence[int] = (),
        noises: Sequence[Utterance] = (),
        views: int = 1,
    ) -> None:
        self.recipe, self.extract, self.seed, self.views = recipe, extract, seed, views
        self.read, self.count, self.space, self.noises = read, count, list(space), noises
        self.rate = extract.recipe.sample_rate
        self._reported: set[str] = set()

    def __call__(
        self, index: int, utterance_id: str, epoch: int
    ) -> tuple[list[Tensor], list[int]] | None:
        """Features (frames, size) of each view, and tokens; None: it cannot be decoded."""
        recipe, rng = self.recipe, generator(self.seed, epoch, utterance_id)
        example = self.read(index)
        if example is None:
            return None
        samples, tokens = self._joined(*example, rng)
        factor = recipe.speed[rng.integers(len(recipe.speed))]
        if factor != 1.0:
            samples = change_speed(samples, factor)
        if rng.random() < recipe.nonspeech_probability:
            samples, tokens = self._nonspeech(len(samples), rng), []
        # noise may continue in what the look-ahead reads: silence must not be needed to end a word
        has_tail = self.extract.tail > 0 and rng.random() < 0.5
        if has_tail:
            samples = self.extract.with_tail(samples)
        samples = self._acoustics(samples, rng, trim=not has_tail)
        warp = 1.0 + recipe.frequency_warp * rng.uniform(-1, 1)
        features = self.extract(samples, warp if recipe.frequency_warp else 1.0, not has_tail)
        kind = self.extract.recipe
        return [spec_augment(features, recipe, kind, rng) for _ in range(self.views)], tokens

    def _joined(
        self, samples: Samples, tokens: list[int], rng: np.random.Generator
    ) -> tuple[Samples, list[int]]:
        """With other training utterances behind it, after pauses."""
        while rng.random() < self.recipe.join_probability and (
            len(samples) < LONGEST_JOINED * self.rate
        ):
            other = self.read(int(rng.integers(self.count)))
            if other is not None:
                pause = np.zeros(int(self.rate * rng.uniform(*self.recipe.join_pause)), np.float32)
                samples = np.concatenate([samples, pause, other[0]])
                tokens = [*tokens, *self.space, *other[1]]
        return samples, tokens

    def _acoustics(self, samples: Samples, rng: np.random.Generator, trim: bool) -> Samples:
        """Room, level, silence around or none, noise, telephone band and codec, each if drawn."""
        recipe, rate = self.recipe, self.rate
        if rng.random() < recipe.room_probability:
            response = acoustics.room(rng, rate, rng.uniform(0.1, 0.6), rng.uniform(0, 15))
            samples = acoustics.reverberate(samples, response)
        if recipe.gain_db != (0.0, 0.0):
            samples = acoustics.amplify(samples, rng.uniform(*recipe.gain_db))
        if rng.random() < recipe.silence_probability:
            samples = self._surrounded(samples, rng)
        elif trim and rng.random() < recipe.trim_probability:
            samples = acoustics.trim(samples, rate, rng.uniform(20, 40))
        if rng.random() < recipe.noise_probability:
            samples = self._noisy(samples, rng)
        if rng.random() < recipe.telephone_probability:
            samples = acoustics.band_limit(samples, rate)
        if rng.random() < recipe.codec_probability:
            samples = acoustics.encode(samples, rate, CODECS[int(rng.integers(len(CODECS)))])
        return samples

    def _surrounded(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """Silence on either side, digital or background noise; the noise continues under the speech
        in one of two."""
        limit = self.recipe.silence_seconds * (3 if rng.random() < 1 / 8 else 1)
        before, after = (int(self.rate * rng.uniform(0, limit)) for _ in range(2))
        padded = acoustics.surround(samples, before, after)
        if rng.random() < 0.25:
            return padded
        kind = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
        noise = acoustics.noise(kind, len(padded), rng, self.rate)
        if rng.random() < 0.5:
            noise[before : before + len(samples)] = 0
        return acoustics.add_noise(padded, noise, rng.uniform(*self.recipe.background_db))

    def _noisy(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """With noise at a signal-to-noise ratio from `noise_snr_db`, relative to the speech."""
        level = acoustics.level(samples, self.rate) - rng.uniform(*self.recipe.noise_snr_db)
        if not np.isfinite(level):
            return samples
        if self.noises and rng.random() < 0.5:
            noise = self._recording(rng, len(samples))
        else:
            kind = NOISES[int(rng.integers(len(NOISES)))]
            if kind == "babble":
                voices = (self.read(int(i)) for i in rng.integers(self.count, size=6))
                noise = acoustics.babble([v[0] for v in voices if v], len(samples), rng)
            else:
                noise = acoustics.noise(kind, len(samples), rng, self.rate)
        return samples if noise is None else acoustics.add_noise(samples, noise, level)

    def _recording(self, rng: np.random.Generator, length: int) -> Samples | None:
        """A random part of a noise recording, repeated if it is shorter, at unit power."""
        noise = self.noises[int(rng.integers(len(self.noises)))]
        seconds = min(noise.duration, length / self.rate)
        start = noise.offset + rng.uniform(0, noise.duration - seconds)
        try:
            samples = read_audio(noise.audio, self.rate, start, seconds)
        except AudioError as error:
            if noise.id not in self._reported:
                self._reported.add(noise.id)
                log.warning("noise %s is not mixed in: %s", noise.id, error)
            return None
        return acoustics.unit_power(np.resize(samples, length))

    def _nonspeech(self, length: int, rng: np.random.Generator) -> Samples:
        """Noise, hum, tones, ±1 LSB or digital silence, at a level from -75 to -20 dBFS."""
        kind = NONSPEECH[int(rng.integers(len(NONSPEECH)))]
        if kind == "silence":
            return np.zeros(length, np.float32)
        if kind == "lsb":
            return (rng.integers(-1, 2, length) / 32768).astype(np.float32)
        if kind == "tones":
            noise = acoustics.tones(length, rng, self.rate)
        else:
            noise = acoustics.noise(kind, length, rng, self.rate)
        return acoustics.amplify(noise, rng.uniform(-75, -20))


def generator(seed: int, epoch: int, utterance_id: str) -> np.random.Generator:
    """The only source of randomness for an utterance in an epoch."""
    return np.random.default_rng([seed, epoch, zlib.crc32(utterance_id.encode())])


def change_speed(samples: Samples, factor: float) -> Samples:
    """Speed up by `factor`, pitch included (Ko et al. 2015, "Audio augmentation for speech
    recognition"): (n,) → about n / factor samples."""
    return resample(samples, round(1000 * factor), 1000)


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
    widest = min(max(1, round(recipe.frequency_mask_width * bands / kind.mels)), bands // 2)
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
