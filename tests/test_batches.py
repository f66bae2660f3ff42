"""Batches: which utterances go together, in what order, and that loading ahead changes nothing."""

import hashlib
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.audio import read_audio, read_utterance
from speechgru.batches import (
    AudioCache,
    collate,
    count_batches,
    load_ahead,
    pad,
    plan_batches,
)
from speechgru.errors import AudioError
from speechgru.manifest import Utterance

DURATIONS = st.lists(st.floats(0.05, 30), min_size=1, max_size=80)


# The plan ---------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(DURATIONS, st.floats(1, 100), st.integers(0, 2**32), st.integers(0, 1000))
def test_a_plan_contains_every_utterance_once_within_the_limit(
    durations, batch_seconds, seed, epoch
):
    plan = plan_batches(durations, batch_seconds, seed, epoch)
    assert sorted(index for batch in plan for index in batch) == list(range(len(durations)))
    for batch in plan:
        longest = max(durations[index] for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= batch_seconds
    assert plan == plan_batches(durations, batch_seconds, seed, epoch)
    assert len(plan) == count_batches(durations, batch_seconds, seed, epoch)


def test_plans_are_those_of_earlier_versions():
    """By a hash of 30 plans of 3,000 utterances, made at commit 306a60a."""
    durations = np.random.default_rng(0).uniform(1, 16, 3000).tolist()
    plans = [plan_batches(durations, 60, seed, epoch) for seed in (1, 2) for epoch in range(15)]
    plans = [[list(batch) for batch in plan] for plan in plans]
    assert hashlib.sha256(json.dumps(plans).encode()).hexdigest()[:16] == "003330b949ed7e60"


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 100))
def test_batches_are_filled(batch_seconds):
    """With equal durations, no batch but the last has room for another utterance."""
    plan = plan_batches([1.0] * 100, batch_seconds, 1, 0)
    sizes = sorted((len(batch) for batch in plan), reverse=True)
    assert sizes[0] == min(int(batch_seconds), 100)
    assert all(size == sizes[0] for size in sizes[:-1])


def test_epochs_and_seeds_shuffle_both_order_and_neighbours():
    durations = np.random.default_rng(0).uniform(1, 10, 300).tolist()
    plans = [plan_batches(durations, 60, *key) for key in [(1, 0), (1, 1), (2, 0)]]
    for other in plans[1:]:
        assert other != plans[0]
        # Not only the order: the members of batches change too.
        assert {frozenset(batch) for batch in other} != {frozenset(batch) for batch in plans[0]}
    longest = [max(durations[index] for index in batch) for batch in plans[0]]
    assert longest != sorted(longest)


def test_batches_have_little_padding():
    durations = np.random.default_rng(0).uniform(1, 10, 2000).tolist()
    padded = audio = 0.0
    for batch in plan_batches(durations, 60, 1, 0):
        padded += max(durations[index] for index in batch) * len(batch)
        audio += sum(durations[index] for index in batch)
    assert padded / audio < 1.2  # unsorted, it would be about 1.6


# Tensors ----------------------------------------------------------------------------------------


def utterance(name: str, duration: float = 1.0) -> Utterance:
    return Utterance(Path(f"/{name}.wav"), duration, name, name)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(1, 5))
def test_padding_is_zero_and_lengths_are_exact(lengths, size):
    rows = [torch.rand(length, size) + 1 for length in lengths]
    padded, counted = pad(rows)
    assert padded.shape == (len(lengths), max(lengths), size)
    assert counted.dtype == torch.int64
    assert counted.tolist() == lengths
    for row, values in zip(padded, rows, strict=True):
        assert torch.equal(row[: len(values)], values)
        assert (row[len(values) :] == 0).all()


def test_a_batch_keeps_rows_targets_and_ids_together():
    rows = [torch.ones(3, 2), 2 * torch.ones(5, 2), 3 * torch.ones(1, 2)]
    batch = collate([utterance("a", 0.5), utterance("b"), utterance("c")], rows, [[1, 2], [3], []])
    assert batch.features[:, 0, 0].tolist() == [1, 2, 3]
    assert batch.lengths.tolist() == [3, 5, 1]
    assert batch.targets.tolist() == [1, 2, 3]
    assert batch.target_lengths.tolist() == [2, 1, 0]
    assert batch.ids == ("a", "b", "c")
    assert batch.seconds == 2.5
    assert batch.targets.dtype == batch.target_lengths.dtype == torch.int64


# Loading ahead ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_plan_s_order(workers):
    def load(plan: list[int]) -> int:
        time.sleep(0.001 * (plan[0] * 7 % 5))  # later ones are done before earlier ones
        return plan[0]

    plans = [[number] for number in range(40)]
    assert list(load_ahead(plans, load, workers)) == list(range(40))
    assert list(load_ahead([], load, workers)) == []


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_is_raised_in_its_turn_and_ends_the_loading(workers):
    def load(plan: list[int]) -> int:
        if plan[0] == 5:
            raise AudioError("five.wav: broken")
        return plan[0]

    seen: list[int] = []
    with pytest.raises(AudioError, match="five"):
        seen.extend(load_ahead([[number] for number in range(40)], load, workers))
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_two_per_worker_run_ahead(workers):
    started = []

    def load(plan: list[int]) -> int:
        started.append(plan[0])
        return plan[0]

    for result in load_ahead([[number] for number in range(60)], load, workers):
        time.sleep(0.002)
        assert len(started) <= result + 1 + 2 * workers


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_stopping_early_leaves_no_thread_behind(workers):
    before = set(threading.enumerate())
    loaded = load_ahead([[number] for number in range(60)], lambda plan: plan[0], workers)
    assert next(loaded) == 0
    loaded.close()
    others = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in others if name.startswith("ThreadPoolExecutor")]


def test_loading_does_not_change_the_caller_s_thread_count():
    torch.set_num_threads(2)
    try:
        list(load_ahead([[1]] * 3, lambda plan: torch.ones(3).sum(), 2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


# The cache --------------------------------------------------------------------------------------


@pytest.fixture
def recordings(tmp_path):
    """Utterances of two folders with a file of the same name each, and two parts of one file."""
    rng = np.random.default_rng(0)
    found = []
    for name in ("train/a", "dev/a", "train/long"):
        file = tmp_path / f"{name}.wav"
        file.parent.mkdir(exist_ok=True)
        soundfile.write(file, rng.uniform(-1, 1, 16000), 8000, subtype="FLOAT")
        found.append(file)
    first, second, long = found
    return [
        Utterance(first, 2.0, "", "a"),
        Utterance(second, 2.0, "", "a"),
        Utterance(long, 0.5, "", "long@0"),
        Utterance(long, 0.5, "", "long@1", offset=1.0),
    ]


@pytest.mark.parametrize("limit", [0, 40_000, 10**9])
def test_samples_do_not_depend_on_what_is_cached(recordings, limit):
    cache = AudioCache(8000, limit)
    for _ in range(3):
        for each in recordings:
            samples = cache.read(each)
            exact = read_utterance(each, 8000)
            assert samples.dtype == np.float32
            assert np.array_equal(samples, exact)
            samples[:] = 0  # the caller's own array: the cache is not changed


def test_files_of_the_same_name_in_two_manifests_are_not_confused(recordings):
    cache = AudioCache(8000, 10**9)
    train, dev = cache.read(recordings[0]), cache.read(recordings[1])
    assert recordings[0].id == recordings[1].id
    assert not np.array_equal(train, dev)


def test_the_cache_respects_its_limit_and_reads_nothing_twice(recordings, monkeypatch):
    reads = []

    def counted(utterance, rate):
        reads.append(utterance)
        return read_utterance(utterance, rate)

    monkeypatch.setattr("speechgru.batches.read_utterance", counted)
    limit = 4 * 16000 + 4 * 4000  # one of the long ones, one of the parts
    cache = AudioCache(8000, limit)
    for _ in range(3):
        for each in recordings:
            cache.read(each)
    assert cache.free == 0
    assert len(reads) == 4 + 2 * 2


@pytest.mark.parametrize(
    ("subtype", "scale", "size"),
    [
        ("PCM_16", 1.0, 2),
        ("PCM_24", 1.0, 4),
        ("FLOAT", 1.0, 4),
        ("FLOAT", 32768.0, 4),  # as some tools write: floats on the scale of 16-bit integers
        ("FLOAT", 1e-6, 4),
        ("FLOAT", 2.0**31, 4),  # the loudest that is read
    ],
)
def test_samples_are_exact_at_any_level_and_stored_in_16_bits_where_possible(
    tmp_path, subtype, scale, size
):
    wave = scale * np.random.default_rng(0).uniform(-1, 1, 1200)
    wave[:2] = scale, -scale
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype=subtype)
    cache, each = AudioCache(8000, 10**6), Utterance(tmp_path / "a.wav", 0.15, "", "a")
    exact = read_audio(each.audio, 8000)
    for _ in range(2):
        assert np.array_equal(cache.read(each), exact)
    assert cache.free == 10**6 - size * 1200


def test_threads_may_share_a_cache(recordings):
    cache = AudioCache(8000, 10**9)
    expected = [AudioCache(8000, 0).read(each) for each in recordings]
    plans = [[number % len(recordings)] for number in range(80)]
    results = load_ahead(plans, lambda plan: cache.read(recordings[plan[0]]), 4)
    for plan, samples in zip(plans, results, strict=True):
        assert np.array_equal(samples, expected[plan[0]])
    assert cache.free == 10**9 - 4 * (2 * 16000 + 2 * 4000)
