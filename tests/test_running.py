"""Features normalised by the audio so far: the same in any pieces, at any level, after silence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru import acoustics
from speechgru.errors import RecipeError
from speechgru.features import FeatureExtractor
from speechgru.recipe import FeatureRecipe
from speechgru.running import MEMORY, Running
from speechgru.streaming import FeatureStream

ENVELOPE = np.repeat([0.1, 0.0001, 0.1, 0.05, 0.1], 3200).astype(np.float32)


def bursts(seed: int) -> np.ndarray:
    """A second of bursts of pink noise at about -20 dBFS, which stand for speech."""
    return ENVELOPE * acoustics.noise("pink", 16000, np.random.default_rng(seed), 16000)


WAVE = bursts(99)


@pytest.fixture(scope="module")
def extract():
    made = FeatureExtractor(FeatureRecipe(mels=20, normalise="running"))
    made.fit(map(bursts, range(10)))
    return made


def in_pieces(extract: FeatureExtractor, samples: np.ndarray, sizes: list[int]) -> torch.Tensor:
    stream, begin, parts = FeatureStream(extract), 0, []
    for size in sizes:
        parts.append(stream(samples[begin : begin + size]))
        begin += size
    return torch.cat([*parts, stream(samples[begin:], last=True)])


@settings(max_examples=30)
@given(samples=st.integers(1, 16000), sizes=st.lists(st.integers(0, 3000), max_size=8))
def test_pieces_equal_the_whole(extract, samples, sizes):
    expected = extract(WAVE[:samples])
    found = in_pieces(extract, WAVE[:samples], sizes)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["logmel", "mfcc"])
@pytest.mark.parametrize("normalise", ["none", "global"])
def test_so_do_those_of_other_causal_features(kind, normalise):
    other = FeatureExtractor(FeatureRecipe(mels=20, kind=kind, normalise=normalise))
    other.fit([WAVE])
    found = in_pieces(other, WAVE, [100, 5000])
    torch.testing.assert_close(found, other(WAVE), atol=1e-4, rtol=1e-4)


def test_a_frame_depends_on_no_later_sample(extract):
    changed = WAVE.copy()
    changed[8000:] += 0.5
    frames = extract.recipe.frames(8000)
    assert torch.equal(extract(changed)[:frames], extract(WAVE)[:frames])


@pytest.mark.parametrize("gain", [0.01, 0.1, 3.0])
@pytest.mark.parametrize("silence", [0, 8000, 80000])
def test_after_the_first_words_neither_level_nor_leading_silence_matters(extract, gain, silence):
    twice = np.concatenate([WAVE, WAVE])
    expected = extract(twice)[100:]
    changed = extract(np.pad(np.float32(gain) * twice, (silence, 0)))[-len(expected) :]
    speech = expected.mean(1) > expected.mean()
    assert (changed - expected)[speech].abs().mean() < 0.25


def test_noise_before_the_first_word_is_darker_than_speech(extract):
    noise = 0.003 * np.random.default_rng(0).standard_normal(48000)
    found = extract(np.concatenate([noise.astype(np.float32), WAVE]))
    assert found[5:290].mean() < found[300:320].mean() - 1


def test_a_click_in_silence_stays_in_range(extract):
    click = np.zeros(16000, np.float32)
    click[8000:8020] = 0.9
    found = extract(click)
    assert found.isfinite().all()
    assert found.abs().max() < 10


def test_old_speech_is_forgotten_and_silence_is_not_counted():
    running, no_prior = Running(1, 100.0), np.zeros((3, 1))

    def mean_after(value: float, frames: int, weight: float) -> float:
        values = np.full((frames, 1), value, np.float32)
        weights = np.full(frames, weight, np.float32)
        return float(running.statistics(values, weights, no_prior)[0][-1, 0])

    assert mean_after(0.0, 20_000, 1.0) == 0
    assert mean_after(5.0, 20_000, 0.0) == 0
    assert mean_after(1.0, int(MEMORY), 1.0) == pytest.approx(1 - np.exp(-1), abs=0.01)


@pytest.mark.parametrize(
    ("values", "key"),
    [({}, "normalise"), ({"normalise": "utterance"}, "normalise"),
     ({"normalise": "running", "deltas": 1}, "deltas")],
)  # fmt: skip
def test_features_that_need_the_whole_recording_are_refused(values, key):
    with pytest.raises(RecipeError, match=f"features.{key}"):
        FeatureStream(FeatureExtractor(FeatureRecipe(**values)))
