"""Files and folders to texts: who is found, what is written where, and what each outcome says."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.decoding import Transcript
from speechgru.errors import AudioError, SpeechgruError, printable
from speechgru.transcription import (
    FORMATS,
    Outcome,
    Sound,
    _output_names,
    check_format,
    find_sounds,
    transcribe_files,
)


class Echo:
    """Stands for a recognizer: says a file's name, and finds fault with what is called bad."""

    def transcribe_all(self, files: Iterable[Path]) -> Iterator[Transcript | SpeechgruError]:
        for file in files:
            if "bad" in file.name:
                yield AudioError(f"{file.name}: bad")
            else:
                yield Transcript(f"this is {file.stem}", 1.5)


def transcribed(
    sources: list[Path], output_format: str, folder: Path | None, force: bool = False
) -> list[Outcome]:
    sounds = find_sounds(sources)
    return list(transcribe_files(Echo(), sounds, output_format, folder, force))  # type: ignore[arg-type]


def touch(folder: Path, *names: str) -> list[Path]:
    files = [folder / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


# Who is found -------------------------------------------------------------------------------------


def test_a_folder_is_searched_for_sound_and_sorted(tmp_path):
    touch(tmp_path, "b.WAV", "a/z.flac", "a/b/c.m4a", "notes.txt", "a.wav", "wav", "a.wav.md5")
    names = ["a/b/c.m4a", "a/z.flac", "a.wav", "b.WAV"]
    assert find_sounds([tmp_path]) == [Sound(tmp_path / name, Path(name)) for name in names]


def test_files_stay_as_given_whatever_they_are_called(tmp_path):
    given_files = [Path("missing.wav"), *touch(tmp_path, "recording.bin")]
    assert find_sounds(given_files) == [Sound(file, Path(file.name)) for file in given_files]


def test_each_file_once_in_the_order_of_its_first_mention(tmp_path):
    a, b = touch(tmp_path, "a.wav", "b.wav")
    assert [sound.source for sound in find_sounds([b, tmp_path, a, b])] == [b, a]


def test_linked_folders_are_searched_once_each(tmp_path):
    touch(tmp_path, "real/a.wav", "in/b.wav")
    (tmp_path / "in/linked").symlink_to(tmp_path / "real")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    assert [str(sound.place) for sound in find_sounds([tmp_path / "in"])] == [
        "b.wav",
        "linked/a.wav",
    ]


def test_a_folder_without_sound_is_a_fault_and_the_rest_is_done(tmp_path):
    good, _ = touch(tmp_path, "good.wav", "empty/notes.txt")
    empty, fine = transcribed([tmp_path / "empty", good], "txt", tmp_path / "out")
    assert (empty.source, empty.written) == (tmp_path / "empty", None)
    assert str(empty.fault).startswith(f"{tmp_path}/empty: no sound file in this folder (looked")
    assert ".flac " in str(empty.fault)
    assert (fine.output, fine.fault) == ("this is good", None)


def test_a_folder_that_cannot_be_searched_is_named_and_the_rest_is_done(tmp_path, lock_folder):
    touch(tmp_path, "a.wav", "locked/b.wav", "z/c.wav")
    lock_folder("locked")
    outcomes = transcribed([tmp_path], "txt", None)
    assert [(o.output, str(o.fault or "")) for o in outcomes] == [
        ("this is a", ""),
        ("this is c", ""),
        ("", f"{tmp_path}/locked: cannot be searched: Permission denied"),
    ]
    (alone,) = transcribed([tmp_path / "locked"], "txt", None)
    assert "cannot be searched" in str(alone.fault)


# What is said -------------------------------------------------------------------------------------


def test_formats():
    for name in FORMATS:
        check_format(name)
    with pytest.raises(SpeechgruError, match="'srt': expected one of txt, json"):
        check_format("srt")


def test_one_outcome_a_file_in_order_and_a_fault_stops_nobody():
    outcomes = transcribed([Path("a.wav"), Path("bad.wav"), Path("c.wav")], "txt", None)
    assert [o.source.name for o in outcomes] == ["a.wav", "bad.wav", "c.wav"]
    assert [o.output for o in outcomes] == ["this is a", "", "this is c"]
    assert [str(o.fault or "") for o in outcomes] == ["", "bad.wav: bad", ""]
    assert [o.written for o in outcomes] == [None] * 3


@pytest.mark.parametrize(
    "name", ["é ü.wav", 'it\'s "q" $(x).wav', "new\nline.wav", "esc\x1b[31m.wav", "del\x7f\x9b.wav"]
)
def test_json_keeps_a_name_true_and_the_terminal_safe(name):
    line = transcribed([Path("d", name)], "json", None)[0].output
    assert line.isprintable()
    assert json.loads(line) == {
        "file": f"d/{name}",
        "text": f"this is {name[:-4]}",
        "duration": 1.5,
    }


def test_json_of_a_name_that_is_no_unicode():
    class Silent:
        def transcribe_all(self, files: Iterable[Path]) -> Iterator[Transcript]:
            yield Transcript("one", 1.0)

    file = Path(os.fsdecode(b"\xff.wav"))
    sounds = [Sound(file, file)]
    line = next(transcribe_files(Silent(), sounds, "json", None)).output  # type: ignore[arg-type]
    line.encode()
    assert json.loads(line)["file"] == r"\udcff.wav"


# What is written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_file_for_each_in_a_folder_that_is_made(tmp_path, output_format):
    folder = tmp_path / "new" / "texts"
    outcomes = transcribed([Path("a.wav"), Path("bad.wav"), Path("x/c.mp3")], output_format, folder)
    names = [f"a.{output_format}", f"c.{output_format}"]
    assert sorted(os.listdir(folder)) == names
    assert [o.written for o in outcomes] == [folder / names[0], None, folder / names[1]]
    for outcome in (outcomes[0], outcomes[2]):
        assert outcome.written.read_text() == outcome.output + "\n"


@pytest.mark.parametrize(
    ("name", "reason"), [("texts", "File exists"), ("t" * 300, "File name too long")]
)
def test_a_folder_that_cannot_be_written_is_each_file_s_fault(tmp_path, name, reason):
    touch(tmp_path, "texts")
    outcomes = transcribed([Path("a.wav"), Path("b.wav")], "txt", tmp_path / name)
    assert [str(o.fault) for o in outcomes] == [
        f"{tmp_path}/{name}/{file}.txt: cannot be written: {reason}" for file in "ab"
    ]


def test_what_was_there_before_is_kept_unless_by_force(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "a.txt")
    (tmp_path / "a.txt").write_text("typed by hand\n")
    kept, done = transcribed([tmp_path], "txt", tmp_path)
    assert str(kept.fault) == (
        f"{tmp_path}/a.txt: there is such a file already; --force writes over it, or take another "
        "--output-dir"
    )
    assert (tmp_path / "a.txt").read_text() == "typed by hand\n"
    assert (done.written, done.written.read_text()) == (tmp_path / "b.txt", "this is b\n")
    outcomes = transcribed([tmp_path], "txt", tmp_path, force=True)
    assert [o.fault for o in outcomes] == [None, None]
    assert (tmp_path / "a.txt").read_text() == "this is a\n"


def test_texts_lie_as_the_sounds_of_a_folder_do(tmp_path):
    touch(tmp_path, "in/anna/1.wav", "in/bob/1.wav", "in/2.wav", "3.wav")
    outcomes = transcribed([tmp_path / "in", tmp_path / "3.wav"], "txt", tmp_path / "out")
    written = [str(o.written.relative_to(tmp_path / "out")) for o in outcomes]
    assert written == ["2.txt", "anna/1.txt", "bob/1.txt", "3.txt"]
    assert all((tmp_path / "out" / name).is_file() for name in written)


def names(*files: str) -> list[str]:
    return list(_output_names(find_sounds([Path(file) for file in files]), "txt").values())


def test_names_of_outputs():
    assert names("x/a.wav", "b.wav") == ["a.txt", "b.txt"]
    assert names("a.wav", "a.mp3") == ["a.wav.txt", "a.mp3.txt"]
    assert names("x/a.wav", "y/a.wav", "z/a.wav") == ["a.wav.txt", "a.wav.2.txt", "a.wav.3.txt"]
    assert names("a.wav.mp3", "x/a.wav", "y/a.wav") == ["a.wav.txt", "a.wav.2.txt", "a.wav.3.txt"]
    assert names("new\nline.wav") == [r"new\nline.txt"]


PARTS = st.sampled_from(["a", "b", "a.wav", ".wav", "a.2", "\n", "é", "-a", "..."])


@given(st.lists(st.tuples(PARTS, PARTS, PARTS), max_size=8, unique=True), st.booleans())
def test_no_two_files_share_an_output_and_none_leaves_the_folder(parts, alone):
    files = [Path(*folders, name + ".wav") for *folders, name in parts]
    sounds = [Sound(file, Path(file.name) if alone else file) for file in files]
    found = _output_names(sounds, "txt")
    assert len(set(found.values())) == len(set(files))
    for file, name in found.items():
        assert (
            Path(name).name == name
            if alone
            else Path(name).parts[:-1] == tuple(printable(part) for part in file.parts[:-1])
        )
        assert ".." not in Path(name).parts
        assert name.isprintable()
