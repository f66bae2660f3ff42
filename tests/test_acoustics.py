"""Acoustic effects: levels, spectra, decay times and lengths are what they claim."""

import numpy as np
import pytest

from speechgru import acoustics

RATE = 16000


def tone(seconds: float, hz: float = 440.0, amplitude: float = 0.1) -> acoustics.Samples:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def decibels(samples: acoustics.Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("kind", ["white", "pink", "brown", "hum"])
@pytest.mark.parametrize("length", [1, 2, 997, 48000])
def test_noise_has_unit_power_and_the_length_asked_for(kind, length):
    noise = acoustics.noise(kind, length, np.random.default_rng(1), RATE)
    assert noise.shape == (length,)
    assert noise.dtype == np.float32
    assert decibels(noise) == pytest.approx(0, abs=0.01) or length < 3


@pytest.mark.parametrize(("kind", "slope"), [("white", 0), ("pink", -3), ("brown", -6)])
def test_noise_falls_by_its_slope_per_octave(kind, slope):
    noise = acoustics.noise(kind, 1 << 18, np.random.default_rng(1), RATE)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / RATE)
    low, high = (10 * np.log10(power[(hz > f) & (hz < 1.1 * f)].mean()) for f in (200, 3200))
    assert (high - low) / 4 == pytest.approx(slope, abs=0.3)


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_hum_is_a_mains_frequency_and_its_harmonics(rate):
    hum = acoustics.noise("hum", 10 * rate, np.random.default_rng(1), rate)
    power = np.abs(np.fft.rfft(hum)) ** 2  # bins of 0.1 Hz
    shares = [power[10 * base : 10 * 10 * base + 1 : 10 * base].sum() for base in (50, 60)]
    assert max(shares) == pytest.approx(power.sum(), rel=1e-6)


def test_level_is_that_of_the_speech_whatever_silence_surrounds_it():
    speech = tone(0.3)
    padded = acoustics.surround(speech, 5 * RATE, 3 * RATE)
    assert acoustics.level(speech, RATE) == pytest.approx(-23, abs=0.2)
    assert acoustics.level(padded, RATE) == pytest.approx(acoustics.level(speech, RATE), abs=0.2)
    assert acoustics.level(np.zeros(100, np.float32), RATE) == -np.inf


def test_a_click_does_not_raise_the_level():
    clicked = tone(0.5)
    clicked[3000:3100] = 1.0
    assert acoustics.level(clicked, RATE) == pytest.approx(-23, abs=0.2)


def test_noise_is_added_at_its_level():
    noise = acoustics.noise("white", RATE, np.random.default_rng(1), RATE)
    noisy = acoustics.add_noise(np.zeros(RATE, np.float32), noise, -40)
    assert decibels(noisy) == pytest.approx(-40, abs=0.01)


def test_a_telephone_band_keeps_a_kilohertz_and_nothing_below_or_above():
    inside, below, above = (
        decibels(acoustics.band_limit(tone(1, hz), RATE)) for hz in (1000, 100, 6000)
    )
    assert inside == pytest.approx(-23, abs=0.5)
    assert below < inside - 30
    assert above < inside - 20


def test_a_room_decays_by_60_db_in_its_reverberation_time():
    response = acoustics.room(np.random.default_rng(1), RATE, rt60=0.4, direct_db=5.0)
    assert response[0] == 1.0
    tail = response[1:].astype(np.float64)
    assert 10 * np.log10(np.sum(tail**2)) == pytest.approx(-5, abs=0.01)
    early, late = tail[RATE // 50 : RATE // 20], tail[RATE // 5 : RATE // 5 + RATE * 3 // 100]
    fall = 10 * np.log10(np.mean(early**2) / np.mean(late**2))
    assert fall == pytest.approx(60 * (0.2 + 0.015 - 0.035) / 0.4, abs=2)


def test_a_reverberated_recording_keeps_its_length_and_start():
    speech = tone(0.5)
    response = acoustics.room(np.random.default_rng(1), RATE, 0.3, 10.0)
    wet = acoustics.reverberate(speech, response)
    assert len(wet) == len(speech)
    np.testing.assert_allclose(wet[:40], speech[:40], atol=1e-6)


def test_mu_law_is_8_bits():
    ramp = np.linspace(-1, 1, 100_001, dtype=np.float32)
    coded = acoustics.mu_law(ramp)
    assert len(np.unique(coded)) <= 256
    assert np.abs(coded - ramp).max() < 0.025
    assert np.abs(coded - ramp)[np.abs(ramp) < 0.01].max() < 0.001


@pytest.mark.parametrize("codec", ["mu-law", "mp3", "opus"])
@pytest.mark.parametrize("rate", [2000, 8000, 11025, 16000, 22050, 44100, 96000])
def test_a_codec_keeps_the_length_and_roughly_the_sound(codec, rate):
    speech = acoustics.noise("pink", rate, np.random.default_rng(1), rate) * np.float32(0.1)
    coded = acoustics.encode(speech, rate, codec)
    assert coded.shape == speech.shape
    assert np.corrcoef(speech, coded)[0, 1] > 0.6
    assert len(acoustics.encode(speech[:0], rate, codec)) == 0


def test_trimming_keeps_pauses_and_what_is_less_far_below_the_speech():
    silence, quiet, word = np.zeros(RATE // 4, np.float32), tone(0.2, amplitude=0.01), tone(0.5)
    spoken = np.concatenate([silence, quiet, word, silence, word, quiet, silence])
    inner = spoken[len(silence) : -len(silence)]
    np.testing.assert_array_equal(acoustics.trim(spoken, RATE, 30), inner)
    inner = inner[len(quiet) : -len(quiet)]
    np.testing.assert_array_equal(acoustics.trim(spoken, RATE, 10), inner)


@pytest.mark.parametrize("length", [0, 1, 100, RATE])
def test_trimming_digital_silence_changes_nothing(length):
    assert len(acoustics.trim(np.zeros(length, np.float32), RATE, 30)) == length


def test_babble_has_unit_power_even_of_voices_shorter_than_it():
    voices = [tone(0.1, hz) for hz in (200, 300, 500)]
    mixed = acoustics.babble(voices, RATE, np.random.default_rng(1))
    assert mixed.shape == (RATE,)
    assert decibels(mixed) == pytest.approx(0, abs=0.01)


def test_tones_are_deterministic_and_of_unit_power():
    first, again = (acoustics.tones(RATE, np.random.default_rng(3), RATE) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert decibels(first) == pytest.approx(0, abs=0.01)
