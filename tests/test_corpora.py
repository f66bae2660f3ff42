"""Readers of corpora: small imitations here, the real corpora under SPEECHGRU_DATA."""

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from speechgru.corpora import (
    LAYOUTS,
    Prepared,
    prepare,
    read_folder,
    summary_rows,
    write_splits,
)
from speechgru.corpora.an4 import spaced
from speechgru.errors import CorpusError, ManifestError
from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import write_manifest


def write_audio(path: Path, seconds: float = 0.1, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "NIST" if path.suffix == ".sph" else None
    soundfile.write(path, np.full(round(seconds * rate), 0.1), rate, format=kind)


def speakers(utterances: Iterable[Utterance]) -> set[str | None]:
    return {utterance.speaker for utterance in utterances}


def ids(result: Prepared) -> dict[str, list[str]]:
    return {split: [u.id for u in listed] for split, listed in result.splits.items()}


def refused(name: str, source: Path | None, holdout: str | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        prepare(name, source, holdout)
    message = str(caught.value)
    assert message.isprintable()
    return message


# FSDD --------------------------------------------------------------------------------------------


@pytest.fixture
def fsdd(tmp_path: Path) -> Path:
    for speaker in ("anna", "bo_b"):
        for digit in (0, 7):
            for index in (0, 4, 5, 9, 10, 49):
                write_audio(tmp_path / f"recordings/{digit}_{speaker}_{index}.wav")
    (tmp_path / "recordings/._7_anna_0.wav").write_bytes(b"of a Mac")
    (tmp_path / "recordings/notes.txt").touch()
    return tmp_path


def test_fsdd_official_split(fsdd: Path) -> None:
    result = prepare("fsdd", fsdd)
    assert not result.problems
    expected = {"train": (10, 49), "dev": (5, 9), "test": (0, 4)}
    assert {split: set(listed) for split, listed in ids(result).items()} == {
        split: {f"{d}_{s}_{i}" for d in (0, 7) for s in ("anna", "bo_b") for i in indices}
        for split, indices in expected.items()
    }
    seven = next(u for u in result.splits["test"] if u.id == "7_bo_b_4")
    audio = str(fsdd / "recordings/7_bo_b_4.wav")
    assert seven == Utterance(audio, 0.1, "seven", "7_bo_b_4", speaker="bo_b")


def test_fsdd_with_a_speaker_held_out(fsdd: Path) -> None:
    result = prepare("fsdd", fsdd, "anna")
    assert speakers(result.splits["test"]) == {"anna"}
    assert len(result.splits["test"]) == 12
    assert speakers(result.splits["train"] + result.splits["dev"]) == {"bo_b"}
    assert {u.id.rsplit("_")[-1] for u in result.splits["dev"]} == {"5", "9"}
    assert {u.id.rsplit("_")[-1] for u in result.splits["train"]} == {"0", "4", "10", "49"}
    message = refused("fsdd", fsdd, "zoe")
    assert "zoe" in message
    assert "anna, bo_b" in message


def test_an_unreadable_utterance_is_named_and_a_split_may_be_empty(
    fsdd: Path, tmp_path: Path
) -> None:
    bad = fsdd / "recordings/0_anna_10.wav"
    bad.write_bytes(b"")
    result = prepare("fsdd", fsdd)
    (problem,) = result.problems
    assert problem.startswith(f"0_anna_10: {bad}: ")
    assert "0_anna_10" not in ids(result)["train"]
    for path in fsdd.glob("recordings/*_[04].wav"):
        path.write_bytes(b"")
    result = prepare("fsdd", fsdd)
    assert len(result.problems) == 9
    assert ids(result)["test"] == []
    files = write_splits(result, tmp_path / "out")
    assert [file.name for file in files] == ["train.jsonl", "dev.jsonl"]
    for path in fsdd.glob("recordings/*.wav"):
        path.write_bytes(b"")
    assert "0_anna_10: " in refused("fsdd", fsdd)


# AN4 ---------------------------------------------------------------------------------------------

WOMEN = [f"f{letter * 3}" for letter in "abcdef"]
MEN = [f"m{letter * 3}" for letter in "abcdefghij"]


@pytest.fixture
def an4(tmp_path: Path) -> Path:
    """CMU's layout in small: 6 women, 10 men, a word each; test in SPHERE, train in three kinds."""
    (tmp_path / "etc").mkdir()
    train = [f"an4_clstk/{speaker}/an{n}-{speaker}-b" for n, speaker in enumerate(WOMEN + MEN)]
    test = ["an4test_clstk/fzzz/cen1-fzzz-b", "an4test_clstk/mzzz/an2-mzzz-b"]
    for part, listed, line in (
        ("train", train, "<s> GO  {} </s> ({})\n"),
        ("test", test, "STOP {} ({})\n"),
    ):
        (tmp_path / f"etc/an4_{part}.fileids").write_text("".join(f"{i}\n" for i in listed))
        lines = [line.format("ON", i.rpartition("/")[2]) for i in listed]
        (tmp_path / f"etc/an4_{part}.transcription").write_text("".join(lines))
    for number, name in enumerate(train):
        write_audio(tmp_path / f"wav/{name}{('.wav', '.flac', '.sph')[number % 3]}")
    for name in test:
        write_audio(tmp_path / f"wav/{name}.sph")
        (tmp_path / f"wav/{name}.raw").write_bytes(b"\1\2" * 800)
    return tmp_path


def test_an4(an4: Path) -> None:
    result = prepare("an4", an4)
    assert not result.problems
    splits = result.splits
    assert {split: len(listed) for split, listed in splits.items()} == {
        "train": 8,
        "dev": 8,
        "test": 2,
        "train+dev": 16,
    }
    assert {speaker[0] for speaker in WOMEN + MEN} == {"f", "m"}
    dev = speakers(splits["dev"])
    assert len(dev & set(WOMEN)) == 3
    assert len(dev & set(MEN)) == 5
    assert not dev & speakers(splits["train"])
    assert speakers(splits["train+dev"]) == set(WOMEN + MEN)
    assert {u.text for u in splits["train+dev"]} == {"GO ON"}
    assert [(u.id, u.text, u.audio[-4:]) for u in splits["test"]] == [
        ("cen1-fzzz-b", "STOP ON", ".sph"),
        ("an2-mzzz-b", "STOP ON", ".sph"),
    ]


def test_lists_that_an_editor_of_windows_saved(an4: Path) -> None:
    before = prepare("an4", an4).splits
    for file in (an4 / "etc").iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert prepare("an4", an4).splits == before


def test_an4_takes_the_folder_above_too(
    an4: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    above = tmp_path_factory.mktemp("above")
    (above / "an4").symlink_to(an4)
    assert ids(prepare("an4", above)) == ids(prepare("an4", an4))


def test_an4_prefers_the_listed_folder_and_lossless_files(an4: Path) -> None:
    write_audio(an4 / "wav/an4test_clstk/fzzz/cen1-fzzz-b.mp3")
    write_audio(an4 / "copies/fzzz/cen1-fzzz-b.flac")
    assert prepare("an4", an4).splits["test"][0].audio.endswith(".sph")
    (an4 / "wav/an4test_clstk/fzzz/cen1-fzzz-b.sph").unlink()
    assert prepare("an4", an4).splits["test"][0].audio.endswith(".mp3")
    (an4 / "wav/an4test_clstk/fzzz/cen1-fzzz-b.mp3").unlink()
    assert prepare("an4", an4).splits["test"][0].audio.endswith(".flac")


def test_an4_names_missing_audio_once(an4: Path) -> None:
    (an4 / "wav/an4_clstk/faaa/an0-faaa-b.wav").unlink()
    result = prepare("an4", an4)
    (problem,) = result.problems
    assert problem.startswith("an0-faaa-b: ")
    assert str(an4) in problem
    assert len(result.splits["train+dev"]) == 15


def test_an4_lists_that_do_not_fit(an4: Path) -> None:
    transcription = an4 / "etc/an4_test.transcription"
    good = transcription.read_text()
    transcription.write_text(good.splitlines()[0] + "\n")
    (problem,) = prepare("an4", an4).problems
    assert problem.startswith("etc/an4_test.fileids:2: ")
    assert "an2-mzzz-b" in problem
    transcription.write_text(good.replace("\n", "\n\n") + "NO ID HERE\n")
    (problem,) = prepare("an4", an4).problems
    assert problem.startswith("etc/an4_test.transcription:5: ")
    assert "'NO ID HERE'" in problem
    transcription.write_bytes(b"CAF\xc9 (an2-mzzz-b)\n")
    message = refused("an4", an4)
    assert message.startswith(f"{transcription}: ")
    assert "UTF-8" in message
    transcription.unlink()
    assert "No such file" in refused("an4", an4)


def test_a_folder_of_an4_is_read_without_the_set_that_repeats_two_others(an4: Path) -> None:
    expected = ids(prepare("an4", an4))
    del expected["train+dev"]
    name, result = read_folder(an4)
    assert (name, ids(result)) == ("an4", expected)


def test_an4_needs_speakers_for_a_dev(an4: Path) -> None:
    listed = an4 / "etc/an4_train.fileids"
    listed.write_text("".join(line for line in listed.open() if "/m" in line))
    assert "found 0 training speakers" in refused("an4", an4)


# LibriSpeech -------------------------------------------------------------------------------------


def librispeech_subset(folder: Path, names: Iterable[int]) -> None:
    for name in names:
        chapter = folder / f"{name}/100"
        for number in range(2):
            write_audio(chapter / f"{name}-100-{number:04}.{'flac' if number else 'ogg'}")
        lines = [f"{name}-100-{number:04} IT'S NUMBER {number}\n" for number in range(2)]
        (chapter / f"{name}-100.trans.txt").write_text("".join(lines))


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """12 speakers whose ids sort differently as numbers and as text; odd ones are women."""
    numbers = [7, 8, 19, 20, 31, 32, 103, 104, 1005, 1006, 1007, 1008]
    librispeech_subset(tmp_path / "train-clean-5", numbers)
    table = [";ID |SEX| SUBSET\n"]
    table += [f"{n:<4} | {'F' if n % 2 else 'M'} | train-clean-5 | 1 | X\n" for n in numbers]
    (tmp_path / "SPEAKERS.TXT").write_text("".join(table))
    return tmp_path


def test_librispeech_by_speaker_and_sex(librispeech: Path) -> None:
    for source in (librispeech, librispeech / "train-clean-5"):
        result = prepare("librispeech", source)
        assert not result.problems
        assert speakers(result.splits["test"]) == {"7", "19", "8", "20"}
        assert speakers(result.splits["dev"]) == {"31", "103", "32"}
        assert speakers(result.splits["train"]) == {"104", "1005", "1006", "1007", "1008"}
        assert ids(result)["dev"][0] == "103-100-0000"
        assert result.splits["dev"][1].text == "IT'S NUMBER 1"


def test_librispeech_is_split_the_same_from_further_up(
    librispeech: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    above = tmp_path_factory.mktemp("above")
    shutil.copytree(librispeech, above / "corpora/LibriSpeech")
    assert ids(prepare("librispeech", above)) == ids(prepare("librispeech", librispeech))


def test_librispeech_without_sexes(librispeech: Path) -> None:
    (librispeech / "SPEAKERS.TXT").unlink()
    result = prepare("librispeech", librispeech)
    assert speakers(result.splits["test"]) == {"7", "8", "19", "20"}
    assert speakers(result.splits["dev"]) == {"31", "32", "103"}


def test_librispeech_official_subsets(librispeech: Path) -> None:
    """They stay separate sets; only what is missing is taken from the training speakers."""
    librispeech_subset(librispeech / "test-clean", [5000, 5001])
    librispeech_subset(librispeech / "test-other", [5002])
    splits = prepare("librispeech", librispeech).splits
    assert list(splits) == ["train", "dev", "test-clean", "test-other"]
    assert speakers(splits["test-clean"]) == {"5000", "5001"}
    assert speakers(splits["test-other"]) == {"5002"}
    assert speakers(splits["dev"]) == {"31", "103", "32"}
    assert len(speakers(splits["train"])) == 9
    librispeech_subset(librispeech / "dev-clean", [6000])
    splits = prepare("librispeech", librispeech).splits
    assert list(splits) == ["train", "dev-clean", "test-clean", "test-other"]
    assert speakers(splits["dev-clean"]) == {"6000"}
    assert len(speakers(splits["train"])) == 12
    splits = prepare("librispeech", librispeech / "test-clean").splits
    assert list(splits) == ["test-clean"]


def test_librispeech_training_subsets_are_one_split(librispeech: Path) -> None:
    librispeech_subset(librispeech / "train-other-500", [1009, 1010])
    splits = prepare("librispeech", librispeech).splits
    assert list(splits) == ["train", "dev", "test"]
    assert len(speakers(splits["train"])) == 7


def test_librispeech_follows_links_and_survives_loops(
    librispeech: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    linked = tmp_path_factory.mktemp("linked")
    (linked / "train-clean-5").symlink_to(librispeech / "train-clean-5")
    (librispeech / "train-clean-5/7/loop").symlink_to(librispeech / "train-clean-5")
    (linked / "SPEAKERS.TXT").write_text((librispeech / "SPEAKERS.TXT").read_text())
    assert ids(prepare("librispeech", linked)) == ids(prepare("librispeech", librispeech))


def test_librispeech_names_a_folder_that_cannot_be_searched(
    librispeech: Path, lock_folder: Callable[[str], None]
) -> None:
    lock_folder("103")
    message = refused("librispeech", librispeech)
    assert message.startswith(f"{librispeech}/train-clean-5/103: ")
    assert "Permission denied" in message


def test_librispeech_errors(librispeech: Path) -> None:
    transcript = librispeech / "train-clean-5/7/100/7-100.trans.txt"
    transcript.write_text("\n7-100-0000\n")
    (problem,) = prepare("librispeech", librispeech).problems
    assert problem.startswith("train-clean-5/7/100/7-100.trans.txt:2: ")
    assert "'7-100-0000'" in problem
    for name in ("7", "8", "19"):
        (librispeech / f"train-clean-5/{name}/100/{name}-100.trans.txt").unlink()
    message = refused("librispeech", librispeech)
    assert "found 9" in message
    assert "at least 10" in message


@pytest.mark.parametrize("place", ["/", "/7/", "/7/100/"])
def test_librispeech_right_below_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Fewer folders than a subset has, as in a container that holds little else."""
    transcript = Path(f"{place}7-100.trans.txt")
    monkeypatch.setattr("speechgru.corpora.librispeech.files_of", lambda _: [transcript])
    monkeypatch.setattr(
        "speechgru.corpora.librispeech.read_lines", lambda _: [(1, "7-100-0000 IT'S NUMBER ZERO")]
    )
    assert "found 1" in refused("librispeech", tmp_path)


# Digits ------------------------------------------------------------------------------------------


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for split in ("train", "dev", "test"):
        listed = []
        for number in range(2):
            audio = tmp_path / f"audio/{split}/{number}.wav"
            write_audio(audio, 1.0)
            listed.append(Utterance(str(audio), 1.0, "one", f"{split}/{number}", speaker=split))
        write_manifest(tmp_path / f"{split}.jsonl", listed)
    return tmp_path


def test_digits_are_their_manifests(digits: Path) -> None:
    result = prepare("digits", digits)
    assert not result.problems
    for split in ("train", "dev", "test"):
        assert result.splits[split] == read_manifest(digits / f"{split}.jsonl")


def test_digits_whose_audio_is_missing_or_short(digits: Path) -> None:
    (digits / "audio/train/0.wav").unlink()
    write_audio(digits / "audio/dev/1.wav", 0.5)
    result = prepare("digits", digits)
    missing, short = result.problems
    assert missing.startswith(f"train/0: {digits}/audio/train/0.wav: ")
    assert short.startswith(f"dev/1: {digits}/audio/dev/1.wav: ")
    assert "0.5" in short
    assert [len(listed) for listed in result.splits.values()] == [1, 1, 2]
    (digits / "audio/train/1.wav").unlink()
    assert [len(listed) for listed in prepare("digits", digits).splits.values()] == [0, 1, 2]
    shutil.rmtree(digits / "audio")
    assert f"{digits}/audio/train/0.wav: " in refused("digits", digits)


def test_digits_listed_beyond_the_end_of_their_file(digits: Path) -> None:
    """Even if the difference could be a rounding."""
    listed = read_manifest(digits / "dev.jsonl")
    late = replace(listed[1], offset=1.02, duration=0.1)
    write_manifest(digits / "dev.jsonl", [listed[0], late])
    result = prepare("digits", digits)
    (problem,) = result.problems
    assert problem.startswith(f"dev/1: {late.audio}: ")
    assert "1.02 to 1.12" in problem
    assert len(result.splits["dev"]) == 1


def test_digits_errors(digits: Path) -> None:
    (digits / "dev.jsonl").unlink()
    assert str(digits) in refused("digits", digits)
    assert "nowhere" in refused("digits", digits / "nowhere")
    (digits / "dev.jsonl").write_text("no manifest\n")
    with pytest.raises(ManifestError, match=r"dev\.jsonl:1: "):
        prepare("digits", digits)


def test_the_embedded_digits_are_ready() -> None:
    result = prepare("digits")
    assert not result.problems
    rows = summary_rows(result.splits)
    assert [row.split for row in rows] == ["train", "dev", "test"]
    assert all(row.sample_rates == (16000,) for row in rows)
    assert result.splits["test"][0].id == "espeak-us-f3/00"


# All ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["an4", "fsdd", "librispeech"])
def test_a_folder_that_is_not_the_corpus(name: str, tmp_path: Path) -> None:
    assert "--source" in refused(name, None)
    for nowhere in ("nowhere", "n" * 300):  # that many no file system allows
        assert "no such folder" in refused(name, tmp_path / nowhere)
    (tmp_path / "two\nlines.txt").touch()
    assert "a file;" in refused(name, tmp_path / "two\nlines.txt")
    message = refused(name, tmp_path)
    assert f"not the {name} corpus" in message
    assert r"two\nlines.txt" in message


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "fsdd"])
def test_only_fsdd_has_speakers_to_hold_out(name: str, tmp_path: Path) -> None:
    message = refused(name, tmp_path, "anna")
    assert "--holdout anna" in message
    assert "fsdd" in message


def test_an_unknown_corpus_lists_the_known(tmp_path: Path) -> None:
    message = refused("an5", tmp_path)
    assert "'an5'" in message
    assert ", ".join(LAYOUTS) in message


def test_summary(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", 1.0, 8000)
    write_audio(tmp_path / "b.wav", 2.0, 16000)
    listed = [
        Utterance(tmp_path / "a.wav", 1.0, "ba", "a", speaker="x"),
        Utterance(tmp_path / "b.wav", 1.0, "a c", "b@0"),
        Utterance(tmp_path / "b.wav", 1.0, "", "b@1", offset=1.0, speaker="x"),
        Utterance(tmp_path / "gone.wav", 0.6, "b", "gone", speaker="y"),
    ]
    row, empty = summary_rows({"train": listed, "dev": []})
    assert (row.split, row.utterances, row.speakers) == ("train", 4, 2)
    assert row.hours == pytest.approx(3.6 / 3600)
    assert row.sample_rates == (8000, 16000)
    assert row.characters == " abc"
    assert (empty.utterances, empty.hours, empty.characters) == (0, 0, "")


def test_splits_are_written_side_by_side(digits: Path, tmp_path: Path) -> None:
    result = prepare("digits", digits)
    files = write_splits(result, tmp_path / "new/out")
    assert [file.name for file in files] == ["train.jsonl", "dev.jsonl", "test.jsonl"]
    for file, listed in zip(files, result.splits.values(), strict=True):
        assert read_manifest(file) == listed


def test_a_manifest_is_not_written_onto_itself(digits: Path, tmp_path: Path) -> None:
    (digits / "audio/train/0.wav").unlink()
    before = (digits / "train.jsonl").read_text()
    (tmp_path / "linked").symlink_to(digits)
    assert write_splits(prepare("digits", digits), tmp_path / "linked") == []
    assert (digits / "train.jsonl").read_text() == before


@pytest.mark.parametrize(("count", "expected"), [(1, "c"), (2, "bd"), (5, "abcde")])
def test_spaced(count: int, expected: str) -> None:
    assert "".join(spaced("abcde", count)) == expected


# Real corpora ------------------------------------------------------------------------------------


def test_real_an4(real_data: Path) -> None:
    result = prepare("an4", real_data / "an4")
    assert not result.problems
    rows = {row.split: row for row in summary_rows(result.splits)}
    assert rows["train+dev"].utterances == 948
    assert rows["train+dev"].hours * 60 == pytest.approx(42.4, abs=0.05)
    assert (rows["test"].utterances, rows["test"].speakers) == (130, 10)
    assert rows["test"].hours * 60 == pytest.approx(6.0, abs=0.06)
    assert (rows["dev"].utterances, rows["dev"].speakers, rows["train"].speakers) == (103, 8, 66)
    texts = [u.text for u in result.splits["test"]]
    assert sum(len(text.split()) for text in texts) == 773
    assert sum(map(len, texts)) == 2565


def test_real_fsdd(real_data: Path) -> None:
    splits = prepare("fsdd", real_data / "fsdd").splits
    assert [len(listed) for listed in splits.values()] == [2400, 300, 300]
    assert all(len(speakers(listed)) == 6 for listed in splits.values())
    seconds = sum(u.duration for listed in splits.values() for u in listed)
    assert seconds / 60 == pytest.approx(21.9, abs=0.05)
    held_out = prepare("fsdd", real_data / "fsdd", "theo").splits
    assert [len(listed) for listed in held_out.values()] == [2250, 250, 500]


def test_real_librispeech(real_data: Path, tmp_path: Path) -> None:
    result = prepare("librispeech", real_data / "LibriSpeech")
    assert not result.problems
    rows = summary_rows(result.splits)
    assert sum(row.utterances for row in rows) == 1519
    assert [row.speakers for row in rows] == [21, 3, 4]
    assert sum(row.hours for row in rows) * 60 == pytest.approx(318.6, abs=0.1)
    write_manifest(tmp_path / "dev.jsonl", result.splits["dev"])
    assert read_manifest(tmp_path / "dev.jsonl") == result.splits["dev"]
    assert all(re.fullmatch(r"\d+-\d+-\d{4}", u.id) for u in result.splits["dev"])
