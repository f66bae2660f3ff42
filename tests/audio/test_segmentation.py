"""Cutting long audio: whole, on the grid of model frames, at pauses, of bounded length."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.audio.levels import SILENCE_DB, frame_levels
from speechgru.audio.segmentation import LONGEST, OVERLAP, Grid, Segment, cut, quiet, runs

RATE = 8000
GRID = Grid(RATE, 80, 240, 480)


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (level * values).astype(np.float32)


def cut_all(samples: np.ndarray, size: int = 512, **options: float) -> list[Segment]:
    blocks = (samples[i : i + size] for i in range(0, len(samples), size))
    return list(cut(blocks, GRID, **options))


def test_levels_in_dbfs():
    samples = np.concatenate([np.zeros(100), 0.1 * np.resize([1, -1], 100), np.full(105, 0.5)])
    levels = frame_levels(samples.astype(np.float32), 100)
    np.testing.assert_allclose(levels, [SILENCE_DB, -20.0, SILENCE_DB], atol=0.01)
    assert len(frame_levels(np.ones(3, np.float32), 100)) == 1


@pytest.mark.parametrize("background", [0.0, 0.001, 0.01])
def test_pauses_are_found_in_silence_and_in_noise(background):
    parts = [noise(3, 0.1), noise(1, background, 1), noise(4, 0.2, 2), noise(1, background, 3)]
    samples = np.concatenate([*parts, noise(2, 0.1, 4)])
    found = runs(quiet(frame_levels(samples, 80))) / 100
    np.testing.assert_allclose(found, [[3, 4], [8, 9]], atol=0.05)


def test_segments_end_in_the_middle_of_pauses():
    parts = [p for k in range(10) for p in (noise(3, 0.1, k), np.zeros(RATE // 2, np.float32))]
    samples = np.concatenate(parts)
    segments = cut_all(samples)
    bounds = [segment.first * 0.03 for segment in segments[1:]]
    np.testing.assert_allclose(bounds, [3.25 + 3.5 * k for k in range(9)], atol=0.05)
    assert not any(segment.overlaps for segment in segments)
    longer = [segment.first * 0.03 for segment in cut_all(samples, shortest=6.0)[1:]]
    np.testing.assert_allclose(longer, bounds[1::2], atol=0.05)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(0.05, 30), st.sampled_from([0.0, 0.001, 0.1])), max_size=6),
       st.sampled_from([100, 4096]))  # fmt: skip
def test_segments_are_the_recording(parts, size):
    samples = np.concatenate([noise(1.0, 0.1), *(noise(s, level) for s, level in parts)])
    segments = cut_all(samples, size)
    assert segments[0].first == 0
    assert [s.last is None for s in segments] == [False] * (len(segments) - 1) + [True]
    for one, after in pairwise(segments):
        begin = one.first * GRID.frame
        np.testing.assert_array_equal(one.samples, samples[begin : begin + len(one.samples)])
        assert len(one.samples) >= (one.last - one.first - 1) * GRID.frame + GRID.reach
        shared = 2 * GRID.frames(OVERLAP) if after.overlaps else 0
        assert one.last - after.first == shared
        assert one.seconds <= LONGEST + OVERLAP + 0.1
        assert len(one.levels) == (one.last - one.first) * 3
    last = segments[-1]
    np.testing.assert_array_equal(last.samples, samples[last.first * GRID.frame :])
    assert last.seconds <= LONGEST + OVERLAP + 0.1


def test_without_a_pause_segments_overlap():
    segments = cut_all(noise(60, 0.1))
    assert len(segments) >= 3
    assert all(segment.overlaps for segment in segments[1:])
