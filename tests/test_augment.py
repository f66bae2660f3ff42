"""Augmentation: draws depend on (seed, epoch, utterance) only, and each change does what it says."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.augment import Augment, change_speed, generator, mix, spec_augment
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, read_manifest, write_manifest
from speechgru.recipe import AugmentRecipe, FeatureRecipe

RATE = 8000
FEATURES = FeatureRecipe(sample_rate=RATE, mels=20)


def waveform(seed: int, seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(RATE * seconds)).astype(np.float32) / 10


@pytest.fixture
def noises(tmp_path):
    """A manifest of three noises: one second, half a second, and the middle of a longer file, where
    alone its samples are 0.5 instead of 0."""
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


def everything(noises: str, **changes: object) -> AugmentRecipe:
    values: dict[str, object] = {
        "speed": [0.9, 1.0, 1.1], "noise_manifest": noises, "frequency_warp": 0.1,
        "frequency_masks": 2, "frequency_mask_width": 5, "time_masks": 2,
    }  # fmt: skip
    return AugmentRecipe(**(values | changes))


def augment(recipe: AugmentRecipe, seed: int = 1) -> Augment:
    noises = read_manifest(recipe.noise_manifest) if recipe.noise_manifest else []
    return Augment(recipe, FeatureExtractor(FEATURES), seed, noises)


def test_a_draw_depends_on_seed_epoch_and_utterance_only(noises):
    alone = augment(everything(noises))(waveform(0), "a", 3)
    busy = augment(everything(noises))
    np.random.seed(5)  # global generators must not matter
    torch.manual_seed(5)
    for epoch in range(3):
        for name in "bcd":
            busy(waveform(epoch), name, epoch)
    assert torch.equal(busy(waveform(0), "a", 3), alone)


def test_other_seeds_epochs_and_utterances_give_other_draws(noises):
    change = augment(everything(noises))
    first = change(waveform(0), "a", 3)
    others = [
        change(waveform(0), "a", 4),
        change(waveform(0), "b", 3),
        augment(everything(noises), seed=2)(waveform(0), "a", 3),
    ]
    for other in others:
        assert other.shape != first.shape or not torch.equal(other, first)


def test_different_keys_give_different_draws():
    keys = [(1, 2, "a"), (2, 1, "a"), (12, 0, "a"), (1, 20, "a"), (1, 2, "b"), (1, 2, "ab")]
    draws = {generator(*key).integers(1 << 60) for key in keys}
    assert len(draws) == len(keys)


def test_without_augmentation_the_features_are_plain():
    extract = FeatureExtractor(FEATURES)
    plain = Augment(AugmentRecipe(), extract, 1)
    for epoch in range(3):
        assert torch.equal(plain(waveform(0), "a", epoch), extract(waveform(0)))


def test_the_caller_s_samples_are_not_changed(noises):
    wave = waveform(0)
    change = augment(everything(noises, noise_probability=1.0))
    for epoch in range(5):
        change(wave, "a", epoch)
    assert np.array_equal(wave, waveform(0))


def test_each_speed_is_drawn_about_equally_often():
    change = augment(AugmentRecipe(speed=[0.8, 1.0, 1.25]))
    wave = waveform(0)
    frames = [len(change(wave, "a", epoch)) for epoch in range(90)]
    counts = sorted(frames.count(length) for length in set(frames))
    assert len(counts) == 3
    assert counts[0] >= 18  # of 90: the binomial's lower 0.1 %


def test_features_are_warped_by_the_drawn_factor():
    extract = FeatureExtractor(FEATURES)
    change = augment(AugmentRecipe(frequency_warp=0.1))
    for epoch in range(3):
        draw = generator(1, epoch, "a")
        draw.integers(1)  # the speed
        warp = 1 + 0.1 * draw.uniform(-1, 1)
        assert abs(warp - 1) > 0.001
        assert torch.equal(change(waveform(0), "a", epoch), extract(waveform(0), warp))


@pytest.mark.parametrize(("masks", "axis"), [("frequency_masks", 0), ("time_masks", 1)])
def test_features_are_masked(masks, axis):
    """Whole bands or frames are zero, and the rest is unchanged."""
    plain = FeatureExtractor(FEATURES)(waveform(0))
    change = augment(AugmentRecipe(**{masks: 2}))
    found = 0
    for epoch in range(5):
        features = change(waveform(0), "a", epoch)
        blank = (features == 0).all(axis)
        found += int(blank.sum())
        kept = ~blank[None, :] if axis == 0 else ~blank[:, None]
        torch.testing.assert_close(features, plain * kept)
    assert found > 5


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


# Noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 25.0])
def test_the_mixture_has_the_requested_ratio(snr_db):
    speech, noise = waveform(1), 7 * waveform(2)
    added = mix(speech, noise, snr_db) - speech
    measured = 10 * np.log10(np.mean(speech**2) / np.mean(added**2))
    assert measured == pytest.approx(snr_db, abs=0.01)
    assert np.corrcoef(added, noise)[0, 1] > 0.999


def test_silence_is_not_mixed():
    silence = np.zeros(100, np.float32)
    assert np.array_equal(mix(silence, waveform(1)[:100], 5), silence)
    assert np.array_equal(mix(waveform(1)[:100], silence, 5), waveform(1)[:100])


@pytest.fixture
def mixed(monkeypatch):
    """The noise and the ratio of every mixture, in order."""
    found = []

    def spy(speech, noise, snr_db):
        found.append((noise, snr_db))
        return mix(speech, noise, snr_db)

    monkeypatch.setattr("speechgru.augment.mix", spy)
    return found


def test_noise_is_mixed_as_often_and_as_loud_as_requested(noises, mixed):
    recipe = AugmentRecipe(noise_manifest=noises, noise_probability=0.3, noise_snr_db=(3, 8))
    change = augment(recipe)
    for epoch in range(200):
        change(waveform(0, 0.3), "a", epoch)
    ratios = [snr_db for _, snr_db in mixed]
    assert 38 <= len(ratios) <= 84  # 60 expected; five deviations of the binomial
    assert all(3 <= ratio <= 8 for ratio in ratios)
    assert min(ratios) < 4 < 7 < max(ratios)


@pytest.mark.parametrize("seconds", [2.0, 0.3, 0.01])  # longer than the noise, and shorter
@pytest.mark.parametrize("number", [0, 1, 2])
def test_noise_comes_from_its_part_of_the_file_and_is_repeated_if_it_is_too_short(
    noises, mixed, number, seconds
):
    recipe = AugmentRecipe(noise_probability=1.0)
    change = Augment(recipe, FeatureExtractor(FEATURES), 1, [read_manifest(noises)[number]])
    for epoch in range(20):
        change(waveform(0, seconds), "a", epoch)
    assert [len(noise) for noise, _ in mixed] == 20 * [round(RATE * seconds)]
    assert number < 2 or all((noise == 0.5).all() for noise, _ in mixed)


def test_damaged_noise_is_reported_once_and_changes_no_other_draw(
    noises, tmp_path, monkeypatch, caplog
):
    soundfile.write(tmp_path / "bad.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    bad = Utterance(tmp_path / "bad.wav", 1.0, "", "bad")
    recipe, extract = everything(noises, noise_probability=1.0), FeatureExtractor(FEATURES)
    change = Augment(recipe, extract, 1, [bad])
    with caplog.at_level(logging.WARNING, "speechgru"):
        found = [change(waveform(0), name, epoch) for name in "ab" for epoch in range(3)]
    assert len(caplog.records) == 1
    assert "bad.wav" in caplog.text
    monkeypatch.setattr("speechgru.augment.mix", lambda speech, _noise, _snr_db: speech)
    change = Augment(recipe, extract, 1, [replace(bad, audio=tmp_path / "noise0.wav")])
    expected = [change(waveform(0), name, epoch) for name in "ab" for epoch in range(3)]
    assert all(map(torch.equal, found, expected))


# SpecAugment ------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    frames=st.integers(1, 400),
    size=st.integers(4, 60),
    bands=st.integers(0, 3),
    width=st.integers(1, 30),
    spans=st.integers(0, 4),
    length=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_masks_are_whole_and_bounded(frames, size, bands, width, spans, length, seed):
    recipe = AugmentRecipe(
        frequency_masks=bands, frequency_mask_width=width,
        time_masks=spans, time_mask_frames=length,
    )  # fmt: skip
    features = torch.ones(frames, size)
    kind = FeatureRecipe(mels=size)
    masked = spec_augment(features, recipe, kind, np.random.default_rng(seed))
    assert features.min() == 1  # the caller's own are unchanged
    blank = masked == 0
    columns, rows = blank.all(0), blank.all(1)
    # Only whole columns and whole rows are masked.
    assert torch.equal(blank, columns[None, :] | rows[:, None])
    if columns.all():
        return  # all is masked: bands and frames cannot be distinguished
    assert int(columns.sum()) <= bands * min(width, size // 2)
    repeats = max(1, round(spans * frames / 1000)) if spans else 0
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


def test_the_same_proportion_of_cepstra_and_of_mel_bands_is_masked():
    kind = FeatureRecipe(kind="mfcc", mels=80, cepstra=20)
    recipe = AugmentRecipe(frequency_masks=1, frequency_mask_width=16)
    widths = set()
    for seed in range(100):
        masked = spec_augment(torch.ones(50, 20), recipe, kind, np.random.default_rng(seed))
        widths.add(int((masked == 0).all(0).sum()))
    assert widths == set(range(5))  # 16 of 80 bands: 4 of 20


def test_long_utterances_get_more_time_masks():
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
def test_masks_contain_the_mean_in_the_deltas_too(normalise, deltas, masks):
    """Features around 5, where zero would be an unusual value."""
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
