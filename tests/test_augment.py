"""Augmentation: every draw keyed by (seed, epoch, utterance), and each change is what it says."""

import logging

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import NO_ACOUSTICS

from speechgru import acoustics
from speechgru.augment import Augment, change_speed, generator, spec_augment
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.recipe import AugmentRecipe, FeatureRecipe

RATE = 8000
FEATURES = FeatureRecipe(sample_rate=RATE, mels=20)


def waveform(seed: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(RATE * seconds)).astype(np.float32) / 10


@pytest.fixture
def noises(tmp_path):
    """A manifest of a second of noise, half a second, and the middle of a longer file: 0.5 there
    and nothing elsewhere."""
    middle = np.zeros(3 * RATE)
    middle[RATE : RATE + 7 * RATE // 10] = 0.5
    parts = [(waveform(100), 0.0, 1.0), (waveform(101, 0.5), 0.0, 0.5), (middle, 1.0, 0.7)]
    listed = []
    for number, (wave, offset, duration) in enumerate(parts):
        file = tmp_path / f"noise{number}.wav"
        soundfile.write(file, wave, RATE)
        listed.append(Utterance(file, duration, "", file.stem, offset=offset))
    write_manifest(tmp_path / "noises.jsonl", listed)
    return str(tmp_path / "noises.jsonl")


ALL = {
    "speed": [0.9, 1.0, 1.1], "frequency_warp": 0.1, "frequency_masks": 2,
    "frequency_mask_width": 5, "time_masks": 2, "join_probability": 0.5,
    "silence_probability": 0.5, "noise_probability": 0.5, "room_probability": 0.5,
    "telephone_probability": 0.5, "codec_probability": 0.5, "nonspeech_probability": 0.1,
}  # fmt: skip


def plain(**changes: object) -> AugmentRecipe:
    """Nothing but `changes`."""
    return AugmentRecipe(**(NO_ACOUSTICS | changes))


class Corpus:
    """Three training utterances of one token each; counts how often each is read."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.waves = [waveform(seed, seconds) for seed in range(3)]

    def read(self, index: int) -> tuple[np.ndarray, list[int]]:
        return self.waves[index], [10 + index]


def augment(recipe: AugmentRecipe, seed: int = 1, seconds: float = 1.0, **more: object) -> Augment:
    noises = read_manifest(recipe.noise_manifest) if recipe.noise_manifest else []
    extract = more.pop("extract", None) or FeatureExtractor(FEATURES)
    settings = {"space": [1], "noises": noises} | more
    return Augment(recipe, extract, seed, Corpus(seconds).read, 3, **settings)


def test_a_draw_depends_on_seed_epoch_and_utterance_only(noises):
    recipe = AugmentRecipe(**ALL, noise_manifest=noises)
    for epoch in range(12):
        [features], tokens = augment(recipe)(0, "a", epoch)
        busy = augment(recipe)
        np.random.seed(5)  # another generator must not matter
        torch.manual_seed(5)
        busy(1, "b", epoch)
        [again], same = busy(0, "a", epoch)
        assert torch.equal(again, features)
        assert same == tokens


def test_other_seeds_epochs_and_utterances_draw_otherwise(noises):
    recipe = AugmentRecipe(**ALL, noise_manifest=noises)
    first = augment(recipe)(0, "a", 3)[0][0]
    others = [
        augment(recipe)(0, "a", 4)[0][0], augment(recipe)(0, "b", 3)[0][0],
        augment(recipe, seed=2)(0, "a", 3)[0][0],
    ]  # fmt: skip
    for other in others:
        assert other.shape != first.shape or not torch.equal(other, first)


def test_the_key_keeps_its_parts_apart():
    keys = [(1, 2, "a"), (2, 1, "a"), (12, 0, "a"), (1, 20, "a"), (1, 2, "b"), (1, 2, "ab")]
    draws = {generator(*key).integers(1 << 60) for key in keys}
    assert len(draws) == len(keys)


def test_noise_continues_into_the_tail_for_some():
    extract = FeatureExtractor(FEATURES, tail=RATE // 2)
    noisy = augment(plain(noise_probability=1.0, noise_snr_db=[0, 0]), extract=extract)
    lowest = [float(noisy(0, "a", epoch)[0][0][-20:].mean()) for epoch in range(12)]
    assert len(noisy(0, "a", 0)[0][0]) == len(extract(waveform(0)))
    assert 2 < sum(value > -3 for value in lowest) < 10


def test_off_means_plain_features():
    extract = FeatureExtractor(FEATURES)
    off = augment(plain(), extract=extract)
    for epoch in range(3):
        [features], tokens = off(0, "a", epoch)
        assert torch.equal(features, extract(waveform(0)))
        assert tokens == [10]


def test_the_samples_are_left_alone(noises):
    corpus = Corpus()
    recipe = AugmentRecipe(**ALL, noise_manifest=noises)
    change = Augment(recipe, FeatureExtractor(FEATURES), 1, corpus.read, 3, [1])
    for epoch in range(20):
        change(0, "a", epoch)
    assert all(np.array_equal(corpus.waves[seed], waveform(seed)) for seed in range(3))


def test_an_utterance_that_cannot_be_read_is_none():
    change = Augment(plain(), FeatureExtractor(FEATURES), 1, lambda index: None, 3, [1])
    assert change(0, "a", 0) is None


def test_each_speed_is_drawn_about_equally_often():
    change = augment(plain(speed=[0.8, 1.0, 1.25]))
    frames = [len(change(0, "a", epoch)[0][0]) for epoch in range(90)]
    counts = sorted(frames.count(length) for length in set(frames))
    assert len(counts) == 3
    assert counts[0] >= 18  # of 90: the binomial's lower 0.1 %


def test_features_are_warped_by_factors_of_the_range():
    extract = FeatureExtractor(FEATURES)
    change = augment(plain(frequency_warp=0.1), extract=extract)
    warps = np.linspace(0.9, 1.1, 81)
    found = set()
    for epoch in range(8):
        features = change(0, "a", epoch)[0][0]
        errors = [float((extract(waveform(0), warp) - features).abs().mean()) for warp in warps]
        assert min(errors) < 0.05
        found.add(round(float(warps[int(np.argmin(errors))]), 2))
    assert len(found) > 3


@pytest.mark.parametrize(("masks", "axis"), [("frequency_masks", 0), ("time_masks", 1)])
def test_features_are_masked(masks, axis):
    """Whole bands or frames are zero, and the rest is as without."""
    unmasked = FeatureExtractor(FEATURES)(waveform(0))
    change = augment(plain(**{masks: 2}))
    found = 0
    for epoch in range(5):
        features = change(0, "a", epoch)[0][0]
        blank = (features == 0).all(axis)
        found += int(blank.sum())
        kept = ~blank[None, :] if axis == 0 else ~blank[:, None]
        torch.testing.assert_close(features, unmasked * kept)
    assert found > 5


# Joining and non-speech -------------------------------------------------------------------------


def test_joined_utterances_bring_their_tokens_after_a_space():
    change = augment(plain(join_probability=0.5, join_pause=[0.5, 0.5]))
    lengths = {}
    for epoch in range(60):
        [features], tokens = change(0, "a", epoch)
        parts = [token for token in tokens if token >= 10]
        assert tokens == [token for part in parts for token in (part, 1)][:-1]
        assert parts[0] == 10
        lengths.setdefault(len(parts), set()).add(len(features))
    for count, frames in lengths.items():
        samples = round(RATE * (count + 0.5 * (count - 1)))
        assert frames == {FEATURES.frames(samples)}
    assert {1, 2, 3} <= set(lengths)


def test_nothing_is_joined_to_a_long_recording():
    change = augment(plain(join_probability=0.9), seconds=16.0)
    assert change(0, "a", 0)[1] == [10]


def test_non_speech_has_no_tokens_and_comes_as_often_as_asked():
    change = augment(plain(nonspeech_probability=0.3), seconds=0.2)
    empty = sum(not change(0, "a", epoch)[1] for epoch in range(200))
    assert 38 <= empty <= 84  # 60 expected; five deviations of the binomial


# Acoustics --------------------------------------------------------------------------------------


@pytest.fixture
def samples_of(monkeypatch):
    """The samples that become features, in turn."""
    seen = []
    call = FeatureExtractor.__call__

    def spy(self, samples, *options):
        seen.append(samples)
        return call(self, samples, *options)

    monkeypatch.setattr(FeatureExtractor, "__call__", spy)
    return seen


def test_silence_surrounds_the_utterance_within_its_limits(samples_of):
    recipe = plain(silence_probability=1.0, silence_seconds=0.5, background_db=[-90, -90])
    change = augment(recipe)
    for epoch in range(40):
        change(0, "a", epoch)
    before = []
    for samples in samples_of:
        match = np.correlate(samples, waveform(0), "valid")
        before.append(int(match.argmax()) / RATE)
        assert len(samples) <= RATE * 4
    assert min(before) < 0.1
    assert 0.5 < max(before) <= 1.5


def test_some_of_the_others_are_cut_to_their_speech(samples_of):
    corpus = Corpus()
    corpus.waves = [np.pad(wave, RATE // 2) for wave in corpus.waves]
    recipe = plain(silence_probability=0.3, silence_seconds=0.5, trim_probability=0.5)
    change = Augment(recipe, FeatureExtractor(FEATURES), 1, corpus.read, 3)
    for epoch in range(60):
        change(0, "a", epoch)
    lengths = np.array([len(samples) for samples in samples_of])
    assert 10 < (lengths == RATE).sum() < 32  # half of the 70 % that silence does not surround
    assert (lengths == 2 * RATE).any()
    assert (lengths > 2 * RATE).any()


def test_what_the_look_ahead_reads_is_never_cut():
    corpus, tail = Corpus(), RATE // 2
    extract = FeatureExtractor(FEATURES, tail)
    change = Augment(plain(trim_probability=1.0), extract, 1, corpus.read, 3)
    lengths = {len(change(0, "a", epoch)[0][0]) for epoch in range(20)}
    assert min(lengths) >= FEATURES.frames(RATE + tail) - 2  # 10 ms may be cut at either end


def test_levels_change_within_their_range(samples_of):
    change = augment(plain(gain_db=[-20, -10]))
    for epoch in range(20):
        change(0, "a", epoch)
    gains = [20 * np.log10(samples.std() / waveform(0).std()) for samples in samples_of]
    assert all(-20.01 <= gain <= -9.99 for gain in gains)
    assert max(gains) - min(gains) > 5


def test_noise_has_a_ratio_of_the_range_to_the_level_of_the_speech(samples_of):
    change = augment(plain(noise_probability=1.0, noise_snr_db=[3, 8]))
    for epoch in range(40):
        change(0, "a", epoch)
    level = acoustics.level(waveform(0), RATE)
    ratios = [level - 20 * np.log10((s - waveform(0)).std()) for s in samples_of]
    assert all(2.9 <= ratio <= 8.1 for ratio in ratios)
    assert min(ratios) < 4 < 7 < max(ratios)


def test_digital_silence_is_not_made_noisy(samples_of):
    silence = Augment(
        plain(noise_probability=1.0), FeatureExtractor(FEATURES), 1,
        lambda index: (np.zeros(RATE, np.float32), [10]), 3, [1],
    )  # fmt: skip
    silence(0, "a", 0)
    assert not samples_of[0].any()


@pytest.mark.parametrize("effect", ["room", "telephone", "codec"])
def test_an_effect_changes_the_samples_and_not_their_number(samples_of, effect):
    change = augment(plain(**{f"{effect}_probability": 1.0}))
    for epoch in range(6):
        change(0, "a", epoch)
    for samples in samples_of:
        assert len(samples) == RATE
        assert not np.array_equal(samples, waveform(0))


# Speed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 0.85, 0.9, 1.1, 1.15, 2.0])
def test_speed_divides_length_and_multiplies_pitch(factor):
    time = np.arange(RATE) / RATE
    wave = np.sin(2 * np.pi * 500 * time).astype(np.float32)
    changed = change_speed(wave, factor)
    assert changed.dtype == np.float32
    assert abs(len(changed) - len(wave) / factor) <= 1
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed))))
    pitch = spectrum.argmax() * RATE / len(changed)
    assert pitch == pytest.approx(500 * factor, abs=2)


# Recorded noise ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [2.0, 0.3, 0.02])  # longer than the noise, and shorter
def test_recorded_noise_is_of_its_part_of_the_file(noises, samples_of, seconds):
    """The third recording is 0.5 in its part and zero elsewhere: a constant is added."""
    recipe = plain(noise_probability=1.0)
    change = augment(recipe, seconds=seconds, noises=[read_manifest(noises)[2]])
    for epoch in range(20):
        change(0, "a", epoch)
    added = [samples - waveform(0, seconds) for samples in samples_of]
    constant = [float(a.std()) < 1e-3 * abs(float(a.mean())) for a in added]
    assert all(len(a) == round(RATE * seconds) for a in added)
    assert 3 <= sum(constant) <= 17  # recorded noise in about one of two


def test_damaged_noise_is_named_once(tmp_path, caplog):
    soundfile.write(tmp_path / "bad.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    bad = Utterance(tmp_path / "bad.wav", 1.0, "", "bad")
    change = augment(plain(noise_probability=1.0), noises=[bad])
    with caplog.at_level(logging.WARNING, "speechgru"):
        for epoch in range(20):
            assert change(0, "a", epoch) is not None
    assert len(caplog.records) == 1
    assert "bad.wav" in caplog.text


# SpecAugment ------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    frames=st.integers(1, 400),
    size=st.integers(4, 60),
    bands=st.integers(0, 3),
    width=st.integers(1, 30),
    stretches=st.integers(0, 4),
    length=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_masks_are_whole_and_bounded(frames, size, bands, width, stretches, length, seed):
    recipe = AugmentRecipe(
        frequency_masks=bands, frequency_mask_width=width,
        time_masks=stretches, time_mask_frames=length,
    )  # fmt: skip
    features = torch.ones(frames, size)
    kind = FeatureRecipe(mels=size)
    masked = spec_augment(features, recipe, kind, np.random.default_rng(seed))
    assert features.min() == 1  # the caller's own are untouched
    blank = masked == 0
    columns, rows = blank.all(0), blank.all(1)
    # What is blank is a whole column or a whole row, nothing else.
    assert torch.equal(blank, columns[None, :] | rows[:, None])
    if columns.all():
        return  # every band or every frame: then the two cannot be told apart
    assert int(columns.sum()) <= bands * min(width, size // 2)
    repeats = max(1, round(stretches * frames / 1000)) if stretches else 0
    assert int(rows.sum()) <= repeats * min(length, frames // 5)


def blanks(frames: int, size: int, recipe: AugmentRecipe, seed: int) -> torch.Tensor:
    """Where features of ones are masked."""
    return (
        spec_augment(torch.ones(frames, size), recipe, FEATURES, np.random.default_rng(seed)) == 0
    )


def test_masks_are_drawn_everywhere_and_in_every_width():
    recipe = AugmentRecipe(
        frequency_masks=1, frequency_mask_width=6, time_masks=1, time_mask_frames=9
    )
    widths, lengths = set(), set()
    touched = torch.zeros(100, 20, dtype=torch.bool)
    for seed in range(400):
        blank = (
            spec_augment(torch.ones(100, 20), recipe, FEATURES, np.random.default_rng(seed)) == 0
        )
        widths.add(int(blank.all(0).sum()))
        lengths.add(int(blank.all(1).sum()))
        touched |= blank
    assert widths == set(range(7))
    assert lengths == set(range(10))
    assert touched.all()


def test_cepstra_lose_the_share_that_mel_bands_lose():
    kind = FeatureRecipe(kind="mfcc", mels=80, cepstra=20)
    recipe = AugmentRecipe(frequency_masks=1, frequency_mask_width=16)
    widths = set()
    for seed in range(100):
        masked = spec_augment(torch.ones(50, 20), recipe, kind, np.random.default_rng(seed))
        widths.add(int((masked == 0).all(0).sum()))
    assert widths == set(range(5))  # 16 of 80 bands: 4 of 20


def test_the_narrowest_masks_of_cepstra_are_one_wide():
    kind = FeatureRecipe(kind="mfcc", mels=80, cepstra=13)
    recipe = AugmentRecipe(frequency_masks=20, frequency_mask_width=1)
    masked = spec_augment(torch.ones(50, 13), recipe, kind, np.random.default_rng(0))
    assert (masked == 0).any()


def test_long_utterances_get_more_masks_in_time():
    recipe = AugmentRecipe(time_masks=4, time_mask_frames=10)
    share = {}
    for frames in (100, 4000):
        blank = [blanks(frames, 4, recipe, seed).all(1).sum() for seed in range(60)]
        share[frames] = float(torch.stack(blank).float().mean())
    assert 3 < share[100] < 7  # one mask (0.4 of 10 s, at least one) of 0 to 10 frames
    assert 60 < share[4000] < 100  # sixteen of them


@pytest.mark.parametrize("normalise", ["none", "global", "utterance"])
@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("masks", ["frequency", "time"])
def test_what_is_blank_is_the_mean_in_the_differences_too(normalise, deltas, masks):
    """Loud frames, some 5 above zero: zero would be a value like none of theirs."""
    recipe = (
        AugmentRecipe(frequency_masks=1, frequency_mask_width=4)
        if masks == "frequency"
        else AugmentRecipe(time_masks=1)
    )
    kind = FeatureRecipe(sample_rate=RATE, mels=20, normalise=normalise, deltas=deltas)
    features = 5 + torch.randn(60, 20 * (1 + deltas), generator=torch.Generator().manual_seed(0))
    mean = features.mean(0) if normalise == "none" else torch.zeros(features.shape[1])
    found = set()
    for seed in range(40):
        masked = spec_augment(features, recipe, kind, np.random.default_rng(seed))
        blank = masked != features
        torch.testing.assert_close(masked, torch.where(blank, mean, features))
        if masks == "time":
            assert torch.equal(blank, blank.all(1)[:, None].expand_as(blank))
            found.add(int(blank.all(1).sum()))
            continue
        bands = blank.all(0).view(1 + deltas, 20)
        assert torch.equal(blank, blank.all(0).expand_as(blank))
        assert (bands == bands[0]).all()
        found.add(int(bands[0].sum()))
    assert found == set(range(5)) if masks == "frequency" else len(found) > 8
