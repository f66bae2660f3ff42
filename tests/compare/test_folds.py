"""Leave-one-speaker-out: no speaker is in training and in test."""

from pathlib import Path

import pytest

from speechgru.compare.folds import fold_manifest, pool, write_folds
from speechgru.errors import ManifestError
from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import write_manifest

Manifests = dict[str, list[Utterance]]


def manifest(folder: Path, speakers: list[str | None], each: int = 10) -> Manifests:
    utterances = [
        Utterance(str(folder / "audio" / f"{s}_{i}.wav"), 1.0, "one two", f"{s}_{i}", speaker=s)
        for s in speakers
        for i in range(each)
    ]
    return {str(folder / "all.jsonl"): utterances}


def splits(folder: Path, fold: str) -> tuple[list[Utterance], ...]:
    return tuple(read_manifest(fold_manifest(folder, fold, s)) for s in ("train", "dev", "test"))


def files(utterances: list[Utterance]) -> set[str]:
    return {utterance.audio for utterance in utterances}


@pytest.mark.parametrize("count", [4, 25])
def test_no_speaker_leaks_and_no_utterance_is_lost(tmp_path: Path, count: int):
    manifests = manifest(tmp_path, [f"s{i}" for i in range(count)])
    everything = next(iter(manifests.values()))
    names = write_folds(manifests | {"again": everything}, tmp_path)
    assert list(names) == sorted(f"s{i}" for i in range(count))
    tested = []
    for name in names:
        train, dev, test = splits(tmp_path, name)
        assert {u.speaker for u in test} == {name}
        assert name not in {u.speaker for u in [*train, *dev]}
        assert not files(train) & files(dev)
        assert files(train) | files(dev) | files(test) == files(everything)
        assert 0.05 <= len(dev) / len(train + dev) <= 0.15
        tested += test
    assert sorted(u.audio for u in tested) == sorted(files(everything))


def test_dev_takes_whole_speakers_where_there_are_many(tmp_path: Path):
    for name in write_folds(manifest(tmp_path, [f"s{i}" for i in range(25)]), tmp_path):
        train, dev, _ = splits(tmp_path, name)
        assert not {u.speaker for u in dev} & {u.speaker for u in train}


def test_folds_are_the_same_again(tmp_path: Path):
    manifests = manifest(tmp_path, ["a", "b", "c"])
    for folder in ("1", "2"):
        write_folds(manifests, tmp_path / folder)
    for name in "abc":
        first, second = (splits(tmp_path / folder, name) for folder in ("1", "2"))
        assert list(map(files, first)) == list(map(files, second))


@pytest.mark.parametrize("speakers", [["a", "b"], ["a", "b", "c", None]])
def test_too_few_or_unknown_speakers_are_refused(tmp_path: Path, speakers: list[str | None]):
    with pytest.raises(ManifestError, match=r"all\.jsonl.*three speakers"):
        write_folds(manifest(tmp_path, speakers), tmp_path)


def test_speakers_with_one_name_for_a_folder_are_numbered(tmp_path: Path):
    names = write_folds(manifest(tmp_path, ["a b", "a/b", "c"]), tmp_path)
    assert names == ("a_b", "a_b#2", "c")
    assert {u.speaker for u in splits(tmp_path, "a_b")[2]} == {"a b"}


@pytest.mark.parametrize("offsets", [(12345.62, 12345.64), (150000.2, 150000.4)])
def test_utterances_of_a_long_recording_keep_different_ids(
    tmp_path: Path, offsets: tuple[float, float]
):
    """Six digits of an offset would not distinguish them."""
    lines = [
        Utterance(str(tmp_path / "long.wav"), 0.01, "a", f"long@{o}", offset=o, speaker=s)
        for s in "abc"
        for o in [offset + "abc".index(s) * 10 for offset in offsets]
    ]
    write_manifest(tmp_path / "all.jsonl", lines)
    names = write_folds({"all.jsonl": read_manifest(tmp_path / "all.jsonl")}, tmp_path)
    for name in names:
        for split in splits(tmp_path, name):
            assert len({u.id for u in split}) == len(split)
    assert sum(len(splits(tmp_path, name)[2]) for name in names) == len(lines)


def test_ids_are_kept_unless_two_manifests_use_one_for_different_audio(tmp_path: Path):
    def utterance(file: str, id_: str) -> Utterance:
        return Utterance(str(tmp_path / file), 1.0, "", id_)

    first, same, other = utterance("a.wav", "x"), utterance("a.wav", "y"), utterance("b.wav", "z")
    assert [u.id for u in pool({"1.jsonl": [first], "2.jsonl": [same, other]})] == ["x", "z"]
    clash = pool({"train.jsonl": [first], "test.jsonl": [utterance("b.wav", "x")]})
    assert [u.id for u in clash] == ["x", "x#2"]


def test_ids_and_order_do_not_depend_on_where_the_data_are():
    def pooled(train: str, test: str) -> list[str]:
        manifests = {
            f"{place}/{name}.jsonl": [Utterance(f"{place}/{k}.wav", 1.0, name, k) for k in "ab"]
            for name, place in (("train", train), ("test", test))
        }
        return [f"{utterance.id} {utterance.text}" for utterance in pool(manifests)]

    assert pooled("/data/1", "/data/2") == pooled("/data/2", "/data/1") == pooled("x", "y")
