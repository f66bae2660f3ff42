"""Standard conditions: deterministic, and each changes the samples as its name says."""

import json

import numpy as np
import pytest

from speechgru.conditions import (
    CONDITIONS,
    NON_SPEECH,
    NON_SPEECH_SECONDS,
    Condition,
    _groups,
    _recordings,
    count_words_without_speech,
    evaluate_conditions,
    write_conditions,
)
from speechgru.decoding import Transcript
from speechgru.decoding.settings import Decoding
from speechgru.manifest import read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.recognizer import Recognizer

RATE = 8000
AUDIO = [
    0.1 * np.random.default_rng(seed).standard_normal(RATE).astype(np.float32) for seed in range(6)
]


def made(condition: Condition) -> list[np.ndarray]:
    groups = _groups(len(AUDIO), condition.joined)
    return list(_recordings(condition, groups, len(AUDIO), AUDIO.__getitem__, RATE))


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_a_condition_is_deterministic_finite_and_keeps_the_speech_s_length(condition):
    first, again = made(condition), made(condition)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(np.isfinite(samples).all() and samples.dtype == np.float32 for samples in first)
    assert len(first) == -(-len(AUDIO) // condition.joined)
    if "s of" not in condition.name and condition.joined == 1:
        assert all(len(samples) == RATE for samples in first)


def test_names_are_unique_and_the_first_changes_nothing():
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS)
    assert CONDITIONS[0].name == "clean"
    assert all(np.array_equal(a, b) for a, b in zip(made(CONDITIONS[0]), AUDIO, strict=True))


def test_silence_is_on_both_sides_at_its_level():
    (condition,) = (c for c in CONDITIONS if c.name == "1 s of -50 dBFS noise")
    for samples, speech in zip(made(condition), AUDIO, strict=True):
        assert len(samples) == 3 * RATE
        np.testing.assert_array_equal(samples[RATE : 2 * RATE], speech)
        for side in (samples[:RATE], samples[2 * RATE :]):
            assert 20 * np.log10(side.std()) == pytest.approx(-50, abs=0.5)


def test_noise_has_its_ratio():
    (condition,) = (c for c in CONDITIONS if c.name == "white noise, 10 dB")
    for samples, speech in zip(made(condition), AUDIO, strict=True):
        ratio = 10 * np.log10(np.mean(speech**2) / np.mean((samples - speech) ** 2))
        assert ratio == pytest.approx(10, abs=0.01)


def test_an_utterance_is_cut_to_its_speech():
    (condition,) = (c for c in CONDITIONS if c.name == "cut to the speech")
    silence = np.zeros(RATE // 2, np.float32)
    spoken = np.concatenate([silence, AUDIO[0], silence, AUDIO[1], silence])
    (cut,) = _recordings(condition, [range(1)], 1, lambda _: spoken, RATE)
    np.testing.assert_array_equal(cut, spoken[RATE // 2 : -RATE // 2])


def test_babble_consists_of_other_utterances():
    given = []

    def change(samples, rate, rng, others):
        given.append(others)
        return samples

    babble = Condition("babble", change, babble=True)
    list(_recordings(babble, _groups(2, 1), 2, AUDIO.__getitem__, RATE))
    assert len(given) == 2
    assert all(voice is AUDIO[1 - n] for n, others in enumerate(given) for voice in others)


def test_joined_utterances_are_a_second_apart():
    (condition,) = (c for c in CONDITIONS if c.joined == 4)
    first, second = made(condition)
    assert (len(first), len(second)) == (7 * RATE, 3 * RATE)
    assert not first[RATE : 2 * RATE].any()
    np.testing.assert_array_equal(second[2 * RATE :], AUDIO[5])


def test_words_without_speech_are_per_minute(tone_run, monkeypatch):
    recognizer = Recognizer.load(tone_run, "cpu")
    lengths = []

    def two_words(sources):
        for samples in sources:
            lengths.append(len(samples) / recognizer.sample_rate)
            yield Transcript("a b", 1.0)

    monkeypatch.setattr(recognizer, "transcribe_all", two_words)
    counts = count_words_without_speech(recognizer)
    assert set(counts) == set(NON_SPEECH)
    assert lengths == list(NON_SPEECH_SECONDS) * len(NON_SPEECH)
    minutes = sum(NON_SPEECH_SECONDS) / 60
    assert all(n == pytest.approx(2 * len(NON_SPEECH_SECONDS) / minutes) for n in counts.values())


@pytest.mark.parametrize("name", NON_SPEECH)
def test_non_speech_is_finite_and_not_clipped(name):
    samples = NON_SPEECH[name](RATE, np.random.default_rng(0), RATE)
    assert samples.dtype == np.float32
    assert len(samples) == RATE
    assert np.abs(samples).max() < 1


def test_a_model_is_scored_under_every_condition(tone_run, tones, tmp_path):
    report = evaluate_conditions(Recognizer.load(tone_run, "cpu"), tones / "dev.jsonl")
    assert list(report.scores) == [condition.name for condition in CONDITIONS]
    files = write_conditions(report, tmp_path)
    written = json.loads(files[0].read_text())["conditions"]
    assert written["clean"]["words"] == written["4 joined, 1 s pauses"]["words"]
    assert files[1].read_text().startswith("<?xml")


def test_babble_needs_a_second_utterance(tone_run, tones, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("speechgru.conditions.NON_SPEECH", {})
    shown = [CONDITIONS[0], *(condition for condition in CONDITIONS if condition.babble)]
    monkeypatch.setattr("speechgru.conditions.CONDITIONS", shown)
    for count, expected in ((1, ["clean"]), (2, [condition.name for condition in shown])):
        caplog.clear()
        write_manifest(tmp_path / "some.jsonl", read_manifest(tones / "dev.jsonl")[:count])
        report = evaluate_conditions(Recognizer.load(tone_run, "cpu"), tmp_path / "some.jsonl")
        assert list(report.scores) == expected
        assert ("babble is skipped" in caplog.text) == (count == 1)


def test_words_are_scored_in_the_form_of_the_references(
    tone_run, tones, digits_for_tones, monkeypatch
):
    monkeypatch.setattr("speechgru.conditions.CONDITIONS", CONDITIONS[:1])
    monkeypatch.setattr("speechgru.conditions.NON_SPEECH", {})
    decoding = Decoding().changed(vocabulary=digits_for_tones)
    recognizer = Recognizer.load(tone_run, "cpu", decoder=decoding)
    assert evaluate_conditions(recognizer, tones / "dev.jsonl").scores["clean"].wer < 0.2
