"""The benchmark of a long manifest stops before the first step."""

from pathlib import Path

from benchmarks.start import start, write_long
from speechgru.manifest import read_manifest


def test_a_long_manifest_starts(tones: Path, tmp_path: Path) -> None:
    train = write_long(tones / "train.jsonl", 100, tmp_path)
    utterances = read_manifest(train)
    assert len({utterance.audio for utterance in utterances}) == len(utterances) == 100
    cost = start(train, tones / "dev.jsonl", tmp_path / "run")
    assert cost.seconds > 0
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
