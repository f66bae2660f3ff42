"""Features: they agree with librosa, and a frame depends on its own samples only."""

import warnings

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import RecipeError
from speechgru.features import (
    LOG_FLOOR,
    FeatureExtractor,
    feature_size,
    warp_frequencies,
)
from speechgru.recipe import FeatureRecipe

# Sample rate, window and hop in ms, bands: the usual, telephone, odd and high rates.
SHAPES = [
    (16000, 25.0, 10.0, 80),
    (16000, 32.0, 8.0, 40),
    (8000, 25.0, 10.0, 40),
    (8000, 32.0, 16.0, 23),
    (11025, 25.0, 10.0, 40),
    (22050, 46.44, 11.61, 64),
    (48000, 20.0, 20.0, 80),
]


def waveform(samples: int, seed: int = 0) -> np.ndarray:
    """(samples,) float32: a chord that fades over noise, as speech has strong and weak bands."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16000
    chord = sum(np.sin(2 * np.pi * pitch * time) / pitch for pitch in (150, 420, 1900, 3300))
    wave = 20 * chord * np.exp(-time) + 0.01 * rng.standard_normal(samples)
    return wave.astype(np.float32)


def librosa_power(wave: np.ndarray, extract: FeatureExtractor) -> np.ndarray:
    """(mels, frames) by librosa."""
    return librosa.feature.melspectrogram(
        y=wave,
        sr=extract.recipe.sample_rate,
        n_fft=extract.n_fft,
        win_length=extract.window,
        hop_length=extract.hop,
        center=False,
        n_mels=extract.recipe.mels,
        fmin=extract.recipe.low_hz,
        fmax=extract.recipe.high_hz,
        htk=False,
        norm="slaney",
    )


@pytest.mark.parametrize(("rate", "window_ms", "hop_ms", "mels"), SHAPES)
def test_log_mel_agrees_with_librosa(rate, window_ms, hop_ms, mels):
    recipe = FeatureRecipe(
        sample_rate=rate, window_ms=window_ms, hop_ms=hop_ms, mels=mels, normalise="none"
    )
    extract = FeatureExtractor(recipe)
    wave = waveform(rate)
    expected = np.log(librosa_power(wave, extract) + LOG_FLOOR).T
    # float32 sums of some hundred terms on both sides: 1e-3 in the logarithm is 0.1 % of power.
    # At an odd rate torchaudio's filters end at rate // 2 (5512 Hz), librosa's at 5512.5 Hz.
    tolerance = 1e-2 if rate % 2 else 1e-3
    np.testing.assert_allclose(extract(wave).numpy(), expected, atol=tolerance)


@pytest.mark.parametrize(("rate", "window_ms", "hop_ms", "mels"), SHAPES)
def test_mfcc_agrees_with_librosa(rate, window_ms, hop_ms, mels):
    recipe = FeatureRecipe(
        kind="mfcc", sample_rate=rate, window_ms=window_ms, hop_ms=hop_ms, mels=mels,
        cepstra=13, normalise="none",
    )  # fmt: skip
    extract = FeatureExtractor(recipe)
    wave = waveform(rate)
    log_mel = np.log(librosa_power(wave, extract) + LOG_FLOOR)
    expected = librosa.feature.mfcc(S=log_mel, n_mfcc=13, dct_type=2, norm="ortho").T
    tolerance = 2e-2 if rate % 2 else 5e-3
    np.testing.assert_allclose(extract(wave).numpy(), expected, atol=tolerance)


def test_band_edges_agree_with_librosa():
    recipe = FeatureRecipe(mels=30, low_hz=300, high_hz=3400, normalise="none")
    extract = FeatureExtractor(recipe)
    expected = np.log(librosa_power(waveform(16000), extract) + LOG_FLOOR).T
    np.testing.assert_allclose(extract(waveform(16000)).numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_deltas_are_appended_as_least_squares_slopes(count):
    recipe = FeatureRecipe(kind="mfcc", mels=40, deltas=count, normalise="none")
    features = FeatureExtractor(recipe)(waveform(16000)).numpy()
    assert features.shape[1] == feature_size(recipe) == 13 * (1 + count)
    static = features[:, :13]
    padded = np.pad(static, ((2, 2), (0, 0)), mode="edge")
    slope = (2 * (padded[4:] - padded[:-4]) + (padded[3:-1] - padded[1:-3])) / 10
    np.testing.assert_allclose(features[:, 13:26], slope, atol=1e-4)
    if count == 2:
        padded = np.pad(slope, ((2, 2), (0, 0)), mode="edge")
        second = (2 * (padded[4:] - padded[:-4]) + (padded[3:-1] - padded[1:-3])) / 10
        np.testing.assert_allclose(features[:, 26:], second, atol=1e-4)


# Frames -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4000), st.sampled_from(SHAPES))
def test_the_number_of_frames_follows_its_formula(samples, shape):
    rate, window_ms, hop_ms, mels = shape
    extract = FeatureExtractor(
        FeatureRecipe(sample_rate=rate, window_ms=window_ms, hop_ms=hop_ms, mels=mels)
    )
    expected = 1 + max(0, samples - extract.n_fft) // extract.hop
    assert extract.recipe.frames(samples) == expected
    features = extract(np.zeros(samples, np.float32))
    assert features.shape == (expected, extract.size)
    assert features.dtype == torch.float32


@pytest.mark.parametrize("normalise", ["utterance", "none"])
def test_audio_shorter_than_a_window_becomes_one_zero_padded_frame(normalise):
    extract = FeatureExtractor(FeatureRecipe(normalise=normalise))
    short = waveform(100)
    padded = np.concatenate([short, np.zeros(extract.n_fft - 100, np.float32)])
    assert torch.equal(extract(short), extract(padded))
    assert extract(short).shape == (1, 80)


@pytest.mark.parametrize("kind", ["logmel", "mfcc"])
def test_a_frame_depends_on_its_own_samples_only(kind):
    extract = FeatureExtractor(FeatureRecipe(kind=kind, normalise="none"))
    wave = waveform(16000)
    before = extract(wave)
    for frame in (0, 1, 17, 60):
        # The window is in the middle of n_fft samples; those outside it have no weight.
        start = frame * extract.hop
        changed = wave.copy()
        changed[start + extract.n_fft :] += 1
        assert torch.equal(extract(changed)[: frame + 1], before[: frame + 1])
        changed = wave.copy()
        changed[:start] += 1
        assert torch.equal(extract(changed)[frame:], before[frame:])
        changed = wave.copy()
        changed[start + extract.n_fft // 2] += 1
        assert not torch.equal(extract(changed)[frame], before[frame])


def test_a_loud_frame_does_not_clip_a_quiet_one():
    """As torchaudio's own MFCC does, at `top_db` below the loudest value."""
    extract = FeatureExtractor(FeatureRecipe(kind="mfcc", normalise="none"))
    quiet = 1e-3 * waveform(8000)
    loud = np.concatenate([quiet, np.full(1000, 1.0, np.float32), waveform(8000)])
    frames = extract.recipe.frames(8000)
    np.testing.assert_allclose(extract(loud)[:frames].numpy(), extract(quiet).numpy(), atol=1e-5)


def test_silence_is_finite():
    for kind in ("logmel", "mfcc"):
        for normalise in ("utterance", "none"):
            extract = FeatureExtractor(FeatureRecipe(kind=kind, normalise=normalise, deltas=1))
            assert extract(np.zeros(4000, np.float32)).isfinite().all()


def test_silence_is_the_logarithm_of_16_bit_quantisation_noise():
    features = FeatureExtractor(FeatureRecipe(normalise="none"))(np.zeros(4000, np.float32))
    np.testing.assert_allclose(features, np.log(1e-8), atol=1e-5)


def test_the_input_is_not_changed():
    wave = waveform(4000)
    kept = wave.copy()
    FeatureExtractor(FeatureRecipe())(wave)
    assert np.array_equal(wave, kept)


# Normalisation ----------------------------------------------------------------------------------


def test_utterance_normalisation_gives_zero_mean_and_unit_deviation():
    features = FeatureExtractor(FeatureRecipe(normalise="utterance"))(waveform(16000)).double()
    assert features.mean(0).abs().max() < 1e-4
    np.testing.assert_allclose(features.std(0, unbiased=False).numpy(), 1, atol=1e-3)


def test_loudness_does_not_matter_after_utterance_normalisation():
    extract = FeatureExtractor(FeatureRecipe(normalise="utterance"))
    wave = waveform(16000)
    np.testing.assert_allclose(extract(4 * wave).numpy(), extract(wave).numpy(), atol=0.01)


def test_a_constant_band_is_not_amplified():
    """Digital silence: rounding must not become a feature."""
    features = FeatureExtractor(FeatureRecipe(normalise="utterance"))(np.zeros(16000, np.float32))
    assert features.abs().max() < 0.01


def test_a_deviation_below_the_floor_is_scaled_by_the_floor():
    features = 1e-5 * torch.randn(100, 80, generator=torch.Generator().manual_seed(0))
    scaled = FeatureExtractor(FeatureRecipe(normalise="utterance")).normalise(
        features, torch.ones(100)
    )
    torch.testing.assert_close(scaled, (features - features.mean(0)) / 1e-3)


def test_global_statistics_are_those_of_all_frames_pooled():
    extract = FeatureExtractor(FeatureRecipe(mels=20, normalise="global"))
    waves = [waveform(16000, 1), 0.1 * waveform(5000, 2), waveform(900, 3)]
    extract.fit(waves)
    pooled = torch.cat([extract.raw(wave)[0] for wave in waves]).double()
    np.testing.assert_allclose(extract.mean, pooled.mean(0), rtol=1e-5)
    np.testing.assert_allclose(extract.std, pooled.std(0, unbiased=False), rtol=1e-4)
    expected = (extract.raw(waves[1])[0] - extract.mean) / extract.std
    np.testing.assert_allclose(extract(waves[1]).numpy(), expected.numpy(), atol=1e-5)


def test_global_normalisation_without_statistics_is_refused():
    with pytest.raises(RuntimeError, match="statistics"):
        FeatureExtractor(FeatureRecipe(normalise="global"))(waveform(1000))


# Normalisation over speech ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def speech():
    """An extractor with statistics, and a second of bursts at about -23 dBFS that stands for
    speech."""
    extract = FeatureExtractor(FeatureRecipe(mels=20))
    envelope = np.repeat([0.1, 0.0001, 0.1, 0.05, 0.1], 3200).astype(np.float32)
    extract.fit([envelope * waveform(16000, seed) for seed in range(20)])
    return extract, envelope * waveform(16000, 99)


def test_statistics_over_speech_ignore_surrounding_silence(speech):
    extract, wave = speech
    expected = extract(wave)
    for seconds in (0.25, 1, 5):
        pad = int(16000 * seconds)
        padded = extract(np.pad(wave, (pad, pad)))
        frames = pad // extract.hop
        inside = padded[frames : frames + len(expected)]
        assert (inside - expected).abs().mean() < 0.03
        assert (padded[: frames - 4] == -4).all()


@pytest.mark.parametrize(("dbfs", "share"), [(-60, 0.3), (-50, 0.6)])
def test_statistics_over_speech_mind_faint_noise_far_less_than_those_over_all_frames(
    speech, dbfs, share
):
    extract, wave = speech
    noise = 10 ** (dbfs / 20) * np.random.default_rng(0).standard_normal(16000 * 7)
    noise[48000:64000] = wave
    changes = []
    for each in (extract, FeatureExtractor(FeatureRecipe(mels=20, normalise="utterance"))):
        clean = each(wave)
        inside = each(noise.astype(np.float32))[300 : 300 + len(clean)]
        changes.append(float((inside - clean)[:20].abs().mean()))
    assert changes[0] < share * changes[1]


def test_noise_as_loud_as_the_speech_hardly_counts(speech):
    """Six seconds of it on either side: its frames are twelve times as many as the speech's."""
    extract, wave = speech
    noise = np.random.default_rng(0).standard_normal(16000 * 13).astype(np.float32)
    noise *= wave[:3200].std()
    noise[96000:112000] = wave
    _, weights = extract.raw(noise)
    assert float(weights.mean()) < 0.1


@pytest.mark.parametrize("gain", [0.01, 0.1, 2.0])
def test_a_level_does_not_change_features_normalised_over_speech(speech, gain):
    extract, wave = speech
    np.testing.assert_allclose(
        extract(np.float32(gain) * wave).numpy(), extract(wave).numpy(), atol=2e-3
    )


def test_an_offset_larger_than_the_signal_hardly_changes_features(speech):
    extract, wave = speech
    change = extract(wave + 8 * wave.std()) - extract(wave)
    assert change.abs().mean() < 0.1


def test_a_large_prior_gives_the_training_set_s_statistics(speech):
    extract, wave = speech
    recipe = FeatureRecipe(mels=20, normalise_prior=1e9)
    fixed = FeatureExtractor(recipe)
    fixed.mean, fixed.std = extract.mean, extract.std
    features, _ = fixed.raw(wave)
    expected = ((features - extract.mean) / extract.std.clamp(min=0.3)).clamp(min=-4)
    np.testing.assert_allclose(fixed(wave).numpy(), expected.numpy(), atol=1e-3)


def test_a_click_in_silence_stays_in_range(speech):
    extract, _ = speech
    click = np.zeros(16000, np.float32)
    click[8000:8020] = 0.9
    assert extract(click).abs().max() < 40


def test_silence_weighs_nothing_and_speech_one(speech):
    extract, wave = speech
    _, weights = extract.raw(np.pad(wave, 32000))
    assert float(weights[:190].sum()) < 0.01
    assert float(weights[205:219].mean()) > 0.99  # the first burst


# Errors and warping -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"sample_rate": 8000, "mels": 256},
        {"mels": 256},
        {"sample_rate": 2000, "window_ms": 1.0, "hop_ms": 1.0},
        {"window_ms": 0.1, "hop_ms": 0.1},
    ],
)
def test_more_bands_than_the_window_resolves_are_refused(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torchaudio's own words are not for the user
        with pytest.raises(RecipeError, match=r"lower features\.mels"):
            FeatureExtractor(FeatureRecipe(**values))


def test_a_warp_of_one_changes_nothing():
    power = torch.rand(257, 9)
    assert torch.equal(warp_frequencies(power, 1.0), power)
    extract = FeatureExtractor(FeatureRecipe())
    wave = waveform(8000)
    assert torch.equal(extract(wave, warp=1.0), extract(wave))


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.1, 1.25])
def test_a_warp_moves_a_peak_by_its_factor(factor):
    power = torch.zeros(257, 2)
    power[100] = 1.0
    peak = int(warp_frequencies(power, factor)[:, 0].argmax())
    assert abs(peak - 100 / factor) <= 1


def test_a_warp_repeats_the_top_bin_beyond_it():
    power = torch.arange(5.0)[:, None]
    assert warp_frequencies(power, 2.0)[:, 0].tolist() == [0, 2, 4, 4, 4]
    assert warp_frequencies(power, 0.5)[:, 0].tolist() == [0, 0.5, 1, 1.5, 2]
