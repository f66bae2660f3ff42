"""The embedded corpus: what its README promises, and word times that point at speech."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

DIGITS = Path(__file__).parent.parent / "data" / "digits"
WORDS = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[dict]]:
    """Split → manifest lines."""
    return {
        split: [json.loads(line) for line in (DIGITS / f"{split}.jsonl").read_text().splitlines()]
        for split in SPLITS
    }


@pytest.fixture(scope="module")
def lines(corpus) -> list[dict]:
    return [line for split in SPLITS for line in corpus[split]]


@pytest.fixture(scope="module")
def sample(lines) -> list[tuple[dict, np.ndarray, np.ndarray]]:
    """Each twelfth utterance, its samples, and which of them are in words."""
    sample = []
    for line in lines[::12]:
        audio, rate = soundfile.read(DIGITS / line["audio_filepath"])
        spoken = np.zeros(len(audio), bool)
        for word in line["words"]:
            spoken[round(word["start"] * rate) : round(word["end"] * rate)] = True
        sample.append((line, audio, spoken))
    return sample


def test_lines_have_the_documented_keys(lines):
    for line in lines:
        assert list(line) == ["audio_filepath", "duration", "text", "id", "speaker", "words"]


def test_headers_agree_with_the_manifests(lines):
    for line in lines:
        info = soundfile.info(DIGITS / line["audio_filepath"])
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "OPUS")
        assert line["duration"] == pytest.approx(info.duration, abs=0.001), line["audio_filepath"]


def test_every_audio_file_is_in_one_manifest(lines):
    listed = Counter(line["audio_filepath"] for line in lines)
    stored = {path.relative_to(DIGITS).as_posix() for path in DIGITS.glob("audio/*/*")}
    assert set(listed) == stored
    assert set(listed.values()) == {1}


def test_word_times_match_the_text_and_run_forward(lines):
    for line in lines:
        words = line["words"]
        assert [word["word"] for word in words] == line["text"].split()
        assert 1 <= len(words) <= 7
        assert words[0]["start"] > 0
        assert words[-1]["end"] < line["duration"]
        for word in words:
            assert 0.08 < word["end"] - word["start"] < 1.1, line["audio_filepath"]
        for one, two in pairwise(words):
            assert one["end"] <= two["start"], line["audio_filepath"]


def test_rate_of_speech_is_natural(lines):
    for line in lines:
        words = line["words"]
        if len(words) >= 3:
            rate = len(words) / (words[-1]["end"] - words[0]["start"])
            assert 1.3 < rate < 5.5, line["audio_filepath"]


def test_voices_are_many_and_unseen_in_dev_and_test(corpus):
    voices = {split: {line["speaker"] for line in corpus[split]} for split in SPLITS}
    assert sum(map(len, voices.values())) >= 40
    assert len(voices["dev"] | voices["test"]) >= 10
    assert len(set.union(*voices.values())) == sum(map(len, voices.values()))  # no voice twice
    engines = {split: {voice.split("-")[0] for voice in voices[split]} for split in SPLITS}
    assert engines["train"] == {"espeak", "flite", "festival", "kokoro", "pico"}
    assert engines["dev"] == {"espeak", "festival", "kokoro"}
    assert engines["test"] == {"espeak", "flite", "kokoro", "pico"}


def test_sizes(corpus, lines):
    assert 0.8 <= sum(line["duration"] for line in lines) / 3600 <= 1.5
    assert 150 <= len(corpus["dev"]) <= 200
    assert 200 <= len(corpus["test"]) <= 250
    assert sum(len(line["words"]) for line in corpus["test"]) >= 700
    stored = [path for path in DIGITS.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in stored if "__pycache__" not in path.parts)
    assert size <= 10_000_000


@pytest.mark.parametrize("split", SPLITS)
def test_digits_are_balanced(corpus, split):
    counts = Counter(word for line in corpus[split] for word in line["text"].split())
    assert set(counts) == WORDS
    assert max(counts.values()) <= 1.15 * min(counts.values())


def test_sound_is_finite_heard_and_unclipped(sample):
    for line, audio, _ in sample:
        assert np.isfinite(audio).all()
        assert 0.02 < abs(audio).max() < 0.99, line["audio_filepath"]


def test_word_times_point_at_speech(sample):
    """Words are far louder than the pauses, and moving the times by 150 ms spoils that."""

    def contrast(audio, spoken):
        power = np.array([(audio[spoken] ** 2).mean(), (audio[~spoken] ** 2).mean()])
        return -np.diff(10 * np.log10(power + 1e-12))[0]

    true, moved = [], []
    for line, audio, spoken in sample:
        true.append(contrast(audio, spoken))
        moved.append(contrast(audio, np.roll(spoken, 2400)))
        assert true[-1] > 10, line["audio_filepath"]
    assert np.median(true) > np.median(moved) + 10


def test_each_word_is_louder_than_the_noise(sample):
    for line, audio, spoken in sample:
        floor = np.sqrt((audio[~spoken] ** 2).mean())
        for word in line["words"]:
            part = audio[round(word["start"] * 16_000) : round(word["end"] * 16_000)]
            assert np.sqrt((part**2).mean()) > 1.5 * floor, (line["audio_filepath"], word)


def test_readme_lists_every_voice(lines):
    readme = (DIGITS / "README.md").read_text()
    for voice in {line["speaker"] for line in lines}:
        assert f"| {voice} |" in readme
