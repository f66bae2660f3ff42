"""Real corpora by the command line: prepared, read, transcribed. Skipped where there are none."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from speechgru.audio import read_audio
from speechgru.manifest import read_manifest


@pytest.mark.parametrize(
    ("name", "folder", "counts", "rate"),
    [
        ("an4", "an4", {"train": 845, "dev": 103, "test": 130}, 16000),
        ("fsdd", "fsdd", {"train": 2400, "dev": 300, "test": 300}, 8000),
        ("librispeech", "LibriSpeech", {"train": 1119, "dev": 156, "test": 244}, 16000),
    ],
)
def test_a_corpus_is_prepared_and_its_files_are_read(
    name, folder, counts, rate, real_data, speechgru, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = speechgru("prepare", name, "--source", real_data / folder)
    assert result.status == 0, result.err
    table = {
        split: (int(count.replace(",", "")), int(hertz))
        for split, count, hertz in re.findall(
            r"│ ([a-z+]+) +│ +([\d,]+) +│ [\d.]+ +│ \d+ +│ (\d+) ", result.out
        )
    }
    for split, count in counts.items():
        assert table[split] == (count, rate)
        utterances = read_manifest(tmp_path / "data" / name / f"{split}.jsonl")
        assert len(utterances) == count
        for utterance in (utterances[0], utterances[-1]):
            samples = read_audio(utterance.audio)
            assert len(samples) / rate == pytest.approx(utterance.duration, abs=0.02)
            assert 0.001 < np.sqrt(np.mean(samples**2)) < 0.5
            assert utterance.text


def test_files_of_all_formats_are_transcribed_or_named(real_data, tone_run, speechgru):
    """MP3, AAC, MP4, Vorbis, WebM and SPHERE, good and bad; the texts are beyond this model."""
    folder = real_data / "formats"
    result = speechgru("transcribe", folder, "--model", tone_run, "-f", "json", "--threads", "1")
    assert result.status == 1
    found = {Path(line["file"]).name: line for line in map(json.loads, result.out.splitlines())}
    good = {p.name for p in folder.iterdir() if p.suffix not in (".txt", ".csv", ".empty", ".wav")}
    assert set(found) == good
    sonnet = [line["duration"] for name, line in found.items() if name.startswith("p001")]
    assert max(sonnet) - min(sonnet) < 0.2
    named = set(re.findall(r"^speechgru: .*/formats/(\S+): ", result.err, re.M))
    assert named == {"mono.empty.wav", "mono.zero.wav", "mono.invalid.wav"}
