"""Held-out speakers: nobody is in training and in test."""

from pathlib import Path

import pytest

from speechgru.compare.folds import pool, renamed, speaker_folds
from speechgru.errors import ManifestError
from speechgru.manifest import Utterance, read_manifest, write_manifest


def manifest(folder: Path, speakers: list[str | None], each: int = 10) -> str:
    utterances = [
        Utterance(folder / "audio" / f"{s}_{i}.wav", 1.0, "one two", f"{s}_{i}", speaker=s)
        for s in speakers
        for i in range(each)
    ]
    write_manifest(folder / "all.jsonl", utterances)
    return str(folder / "all.jsonl")


def names(file: Path) -> set[Path]:
    return {utterance.audio for utterance in read_manifest(file)}


@pytest.mark.parametrize("count", [4, 25])
def test_no_speaker_leaks_and_nobody_is_lost(tmp_path, count):
    everyone = manifest(tmp_path, [f"s{i}" for i in range(count)])
    folds = speaker_folds([everyone, everyone], tmp_path / "folds")
    assert [fold.speaker for fold in folds] == sorted(f"s{i}" for i in range(count))
    tested = []
    for fold in folds:
        train, dev, test = names(fold.train), names(fold.dev), names(fold.test)
        assert {u.speaker for u in read_manifest(fold.test)} == {fold.speaker}
        for file in (fold.train, fold.dev):
            assert fold.speaker not in {u.speaker for u in read_manifest(file)}
        assert not train & dev
        assert not (train | dev) & test
        assert train | dev | test == names(Path(everyone))
        assert 0.05 <= len(dev) / len(train | dev) <= 0.15
        tested += sorted(test)
    assert sorted(tested) == sorted(names(Path(everyone)))


def test_dev_takes_whole_speakers_where_there_are_many(tmp_path):
    folds = speaker_folds([manifest(tmp_path, [f"s{i}" for i in range(25)])], tmp_path / "folds")
    for fold in folds:
        dev = {u.speaker for u in read_manifest(fold.dev)}
        assert not dev & {u.speaker for u in read_manifest(fold.train)}


def test_folds_are_the_same_again(tmp_path):
    everyone = manifest(tmp_path, ["a", "b", "c"])
    first = speaker_folds([everyone], tmp_path / "1")
    second = speaker_folds([everyone], tmp_path / "2")
    assert [names(fold.dev) for fold in first] == [names(fold.dev) for fold in second]


@pytest.mark.parametrize("speakers", [["a", "b"], ["a", "b", "c", None]])
def test_too_few_or_unknown_speakers_are_explained(tmp_path, speakers):
    with pytest.raises(ManifestError, match="three speakers"):
        speaker_folds([manifest(tmp_path, speakers)], tmp_path / "folds")


def test_ids_name_no_place_on_this_machine(tmp_path):
    utterances = pool([manifest(tmp_path, ["a", "b"], 1)])
    assert [utterance.id for utterance in utterances] == ["a_0", "b_0"]
    twice = [
        Utterance(tmp_path / "a.wav", 1.0, "", "x"),
        Utterance(tmp_path / "a.flac", 1.0, "", "y"),
    ]
    assert [u.id for u in renamed(twice, tmp_path)] == ["a.wav", "a.flac"]
