"""Several channels to one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from recordings import RATE, correlation, encode, tones

from speechgru.audio import read_audio
from speechgru.audio.mixing import mono_blocks, to_mono
from speechgru.audit.measure import measure_file

VOICE = tones(4)
NOISE = np.random.default_rng(0).standard_normal(len(VOICE)).astype(np.float32) * 0.05


# github.com/m-bain/whisperX/pull/750
@pytest.mark.parametrize("gain", [1.0, 0.8])
def test_inverted_channels_do_not_cancel(tmp_path: Path, gain: float) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([VOICE, -gain * VOICE], axis=1), RATE)
    found = read_audio(path)
    assert abs(correlation(VOICE, found)) > 0.999
    assert np.abs(found).max() == pytest.approx((1 + gain) / 2 * np.abs(VOICE).max(), rel=0.01)
    silent_first = np.concatenate([np.zeros((RATE, 2)), np.stack([VOICE, -VOICE], axis=1)])
    soundfile.write(path, silent_first, RATE)
    assert np.abs(read_audio(path)[RATE:]).max() > 0.9 * np.abs(VOICE).max()


@pytest.mark.parametrize(
    "channels",
    [
        [VOICE, VOICE],
        [VOICE, NOISE],
        [VOICE, 0 * VOICE],
        [VOICE, np.roll(VOICE, 37)],
        [VOICE, -0.3 * VOICE],
        [0 * VOICE, 0 * VOICE],
        [VOICE] * 6,
    ],
)
def test_other_channels_are_averaged(channels: list[np.ndarray]) -> None:
    samples = np.stack(channels, axis=1)
    np.testing.assert_allclose(to_mono(samples), samples.mean(axis=1), atol=1e-7)


def test_one_of_three_channels_is_inverted() -> None:
    found = to_mono(np.stack([0.5 * VOICE, -VOICE, 0.5 * VOICE], axis=1))
    assert abs(correlation(found, VOICE)) > 0.999


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [100, 8192, 64000])
def test_blocks_are_the_whole(size: int, sign: int) -> None:
    samples = np.tile(np.stack([VOICE, sign * VOICE], axis=1), (4, 1))
    blocks = [samples[i : i + size] for i in range(0, len(samples), size)]
    found = np.concatenate(list(mono_blocks(blocks, RATE)))
    np.testing.assert_allclose(found, to_mono(samples), atol=1e-7)


def test_the_number_of_channels_changes() -> None:
    inverted = np.stack([VOICE, -VOICE], axis=1)
    parts = [inverted, VOICE[:, None], np.stack([VOICE] * 6, axis=1), VOICE[:, None]]
    found = np.concatenate(list(mono_blocks(parts, RATE)))
    np.testing.assert_allclose(found, np.tile(VOICE, 4), atol=1e-7)


def test_a_broadcast_whose_number_of_channels_changes(tmp_path: Path) -> None:
    whole = tmp_path / "a.aac"
    for samples in (np.stack([VOICE] * 2, axis=1), 0.5 * VOICE):
        encode(tmp_path / "part.aac", samples, RATE, "aac", format="adts")
        with whole.open("ab") as file:
            file.write((tmp_path / "part.aac").read_bytes())
    found = read_audio(whole)
    half = len(found) // 2
    assert np.abs(found[:half]).max() > 1.5 * np.abs(found[half:]).max()
    assert measure_file(str(whole), []).error is None
