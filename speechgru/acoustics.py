"""Acoustic effects on recordings: noise, silence, rooms, telephone bands, codecs.

Pure functions of samples (n,) float32 and a NumPy generator, shared by training's augmentation
(`augment.py`) and the test conditions of `evaluate --conditions` (`conditions.py`).
"""

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, fftconvolve, sosfilt

from speechgru.audio import Samples, resample

_butter = cache(butter)  # to design a filter takes longer than to filter an utterance
CODEC_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz, that MP3 and Opus have
COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls as 1 / f^exponent


def level(samples: Samples, rate: int) -> float:
    """Level of the speech in dBFS: the power of the fifth loudest 10 ms, so that neither clicks
    nor surrounding silence count; -inf for digital silence."""
    power = np.sort(_powers(samples, rate))
    loud = float(power[max(0, len(power) - 5)])
    return 10 * np.log10(loud) if loud > 0 else -np.inf


def trim(samples: Samples, rate: int, db: float) -> Samples:
    """Without what is more than `db` below the level of the speech at the beginning and the end."""
    speech = np.flatnonzero(_powers(samples, rate) > 10 ** ((level(samples, rate) - db) / 10))
    hop = max(1, rate // 100)
    return samples[speech[0] * hop : (speech[-1] + 1) * hop] if len(speech) else samples


def _powers(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """The mean square of every 10 ms."""
    hop = max(1, rate // 100)
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop)
    return np.mean(blocks.astype(np.float64) ** 2, axis=1) if len(blocks) else np.zeros(1)


def amplify(samples: Samples, db: float) -> Samples:
    return (samples * np.float32(10 ** (db / 20))).astype(np.float32)


def noise(kind: str, length: int, rng: np.random.Generator, rate: int) -> Samples:
    """Noise of unit power: white, pink, brown (shaped in the frequency domain, nothing below
    20 Hz), or hum (mains frequency and harmonics)."""
    if kind == "hum":
        return unit_power(_hum(length, rng, rate))
    white = rng.standard_normal(next_fast_len(length, real=True), dtype=np.float32)
    if COLOURS[kind]:
        spectrum = rfft(white)
        frequencies = np.fft.rfftfreq(len(white), 1 / rate)
        spectrum *= np.maximum(frequencies, 20.0).astype(np.float32) ** (-COLOURS[kind] / 2)
        white = irfft(spectrum, len(white))
    return unit_power(white[:length])


def _hum(length: int, rng: np.random.Generator, rate: int) -> npt.NDArray[np.float64]:
    base = int(rng.choice([50, 60]))
    time = np.arange(rate // np.gcd(rate, base)) / rate  # whole cycles, then repeated
    harmonics = np.arange(1, 11)
    harmonics = harmonics[harmonics * base < rate / 2]
    strengths = rng.uniform(0.1, 1.0, len(harmonics)) / harmonics
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    waves = np.sin(2 * np.pi * base * harmonics[:, None] * time + phases[:, None])
    return np.resize(strengths @ waves, length)


def tones(length: int, rng: np.random.Generator, rate: int) -> Samples:
    """Notes of a few sinusoids each, at unit power: music without voices."""
    time = np.arange(length) / rate
    signal = np.zeros(length)
    for _ in range(int(rng.integers(1, 5))):
        frequency = 110 * 2 ** rng.uniform(0, 4)
        notes = rng.uniform(0.2, 1.5)  # per second
        envelope = np.exp(-3 * ((time * notes + rng.uniform()) % 1))
        steps = 2 ** (rng.integers(-5, 6, 1 + int(length / rate * notes + 1)) / 12)
        pitch = frequency * steps[(time * notes).astype(int)]
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        signal += rng.uniform(0.3, 1) * envelope * (np.sin(phase) + 0.4 * np.sin(2 * phase))
    return unit_power(signal)


def babble(voices: Sequence[Samples], length: int, rng: np.random.Generator) -> Samples:
    """Several utterances at once, each repeated from a random point, at unit power."""
    mixed = np.zeros(length, np.float32)
    for voice in voices:
        shifted = np.roll(voice, int(rng.integers(len(voice)))) if len(voice) else voice
        mixed += np.resize(unit_power(shifted), length)
    return unit_power(mixed)


def add_noise(samples: Samples, unit_noise: Samples, db: float) -> Samples:
    """Add noise of unit power at a level in dBFS."""
    return samples + np.float32(10 ** (db / 20)) * unit_noise


def surround(samples: Samples, before: int, after: int) -> Samples:
    """Digital silence of so many samples on either side."""
    return np.pad(samples, (before, after))


def band_limit(samples: Samples, rate: int) -> Samples:
    """The band of a telephone, 300 to 3400 Hz: a Butterworth band-pass filter of order 4."""
    limits = (300.0, min(3400.0, 0.45 * rate))
    filters = _butter(4, limits, btype="bandpass", fs=rate, output="sos")
    return np.asarray(sosfilt(filters, samples), np.float32)


def room(rng: np.random.Generator, rate: int, rt60: float, direct_db: float) -> Samples:
    """A synthetic room impulse response: a unit impulse, then noise that decays by 60 dB in `rt60`
    seconds with a total energy `direct_db` below the impulse's."""
    length = max(2, int(rt60 * rate))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: rate // 400] = 0  # the first reflection comes 2.5 ms later
    energy = float(np.sum(tail**2))
    if energy > 0:
        tail *= np.sqrt(10 ** (-direct_db / 10) / energy)
    tail[0] = 1.0
    return tail.astype(np.float32)


def reverberate(samples: Samples, impulse_response: Samples) -> Samples:
    """Convolve with a room impulse response; the length is kept."""
    return np.asarray(fftconvolve(samples, impulse_response)[: len(samples)], np.float32)


def mu_law(samples: Samples) -> Samples:
    """8-bit mu-law and back (ITU-T G.711)."""
    clipped = np.clip(samples, -1, 1)
    coded = np.round(np.sign(clipped) * np.log1p(255 * np.abs(clipped)) / np.log(256.0) * 127) / 127
    return np.asarray(np.sign(coded) * np.expm1(np.abs(coded) * np.log(256.0)) / 255, np.float32)


def encode(samples: Samples, rate: int, codec: str) -> Samples:
    """Through "mu-law" and back, or through "mp3" or "opus" at the lowest quality."""
    if codec == "mu-law" or not len(samples):
        return mu_law(samples)
    container, subtype = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS")}[codec]
    coded = next((each for each in CODEC_RATES if each >= rate), CODEC_RATES[-1])
    file, given = io.BytesIO(), np.clip(resample(samples, rate, coded), -1, 1)
    soundfile.write(file, given, coded, subtype, format=container, compression_level=0.99)
    decoded = resample(soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0], coded, rate)
    return np.resize(np.pad(decoded, (0, max(0, len(samples) - len(decoded)))), len(samples))


def unit_power(samples: npt.NDArray[np.floating]) -> Samples:
    """Scaled to a mean square of 1; digital silence stays."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return (samples / np.sqrt(power) if power > 0 else samples).astype(np.float32)
