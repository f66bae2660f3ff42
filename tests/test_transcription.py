"""Files and folders to transcripts: which files are found, what is written where, the outcomes."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.decoding import Transcript, Word
from speechgru.errors import AudioError, SpeechgruError, printable
from speechgru.formats import FORMATS, Result, find_formats
from speechgru.transcription import (
    AudioFile,
    Outcome,
    Outputs,
    _names,
    find_audio,
    transcribe_files,
)


class Echo:
    """In place of a recogniser: the text is the file's name; files called bad are an error."""

    def transcribe_all(
        self, files: Iterable[Path], on_progress: Callable[[int, float], None]
    ) -> Iterator[Transcript | SpeechgruError]:
        for index, file in enumerate(files):
            on_progress(index, 1.5)
            if "bad" in file.name:
                yield AudioError(f"{file.name}: bad")
            else:
                words = (Word("this", 0.1, 0.4, 0.9), Word("is", 0.4, 0.5, 0.8))
                words += (Word(file.stem, 0.7, 1.2, 0.5),)
                yield Transcript(f"this is {file.stem}", 1.5, words, 0.733)


def transcribed(
    sources: list[Path], formats: str, folder: Path | None, force: bool = False, skip: bool = False
) -> list[Outcome]:
    files = find_audio(sources)
    outputs = Outputs(files, find_formats(formats), folder, force, skip)
    return list(transcribe_files(Echo(), files, outputs))  # type: ignore[arg-type]


def touch(folder: Path, *names: str) -> list[Path]:
    files = [folder / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


# Which files are found ----------------------------------------------------------------------------


def test_a_folder_is_searched_for_audio_and_sorted(tmp_path):
    touch(tmp_path, "b.WAV", "a/z.flac", "a/b/c.m4a", "notes.txt", "a.wav", "wav", "a.wav.md5")
    names = ["a/b/c.m4a", "a/z.flac", "a.wav", "b.WAV"]
    assert find_audio([tmp_path]) == [AudioFile(tmp_path / name, Path(name)) for name in names]


def test_hidden_files_are_not_found(tmp_path):
    touch(tmp_path, "a.wav", "._a.wav", ".cache/b.wav", "c/._d.m4a", ".e.mp3", "__MACOSX/._a.wav")
    assert [file.relative for file in find_audio([tmp_path])] == [Path("a.wav")]
    assert [file.source for file in find_audio([tmp_path / ".e.mp3"])] == [tmp_path / ".e.mp3"]


def test_files_skipped_by_their_suffix_are_counted(tmp_path, caplog):
    touch(tmp_path, "a.wav", "b.amr", "notes.txt", "x/more.TXT", "voice", ".hidden")
    with caplog.at_level("INFO", "speechgru"):
        assert len(find_audio([tmp_path])) == 2
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith(f"{tmp_path}: files skipped")
    assert ".txt ×2, no suffix ×1" in message
    caplog.clear()
    find_audio([tmp_path / "a.wav"])
    assert not caplog.records


def test_files_stay_as_given_whatever_they_are_called(tmp_path):
    given_files = [Path("missing.wav"), *touch(tmp_path, "recording.bin")]
    assert find_audio(given_files) == [AudioFile(file, Path(file.name)) for file in given_files]


def test_each_file_once_in_the_order_of_its_first_mention(tmp_path):
    a, b = touch(tmp_path, "a.wav", "b.wav")
    assert [file.source for file in find_audio([b, tmp_path, a, b])] == [b, a]


def test_linked_folders_are_searched_once_each(tmp_path):
    touch(tmp_path, "real/a.wav", "in/b.wav")
    (tmp_path / "in/linked").symlink_to(tmp_path / "real")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    assert [str(file.relative) for file in find_audio([tmp_path / "in"])] == [
        "b.wav",
        "linked/a.wav",
    ]


def test_a_folder_without_audio_is_an_error_and_the_rest_is_done(tmp_path):
    good, _ = touch(tmp_path, "good.wav", "empty/notes.txt")
    empty, fine = transcribed([tmp_path / "empty", good], "txt", tmp_path / "out")
    assert (empty.source, empty.written) == (tmp_path / "empty", ())
    assert f"{tmp_path}/empty: " in str(empty.error)
    assert ".flac " in str(empty.error)
    assert (fine.written, fine.error) == ((tmp_path / "out" / "good.txt",), None)


def test_a_folder_that_cannot_be_searched_is_named_and_the_rest_is_done(tmp_path, lock_folder):
    touch(tmp_path, "a.wav", "locked/b.wav", "z/c.wav")
    lock_folder("locked")
    outcomes = transcribed([tmp_path], "txt", None)
    assert [o.output for o in outcomes] == ["this is a", "this is c", ""]
    (alone,) = transcribed([tmp_path / "locked"], "txt", None)
    for error in (outcomes[2].error, alone.error):
        assert f"{tmp_path}/locked: " in str(error)
        assert "Permission denied" in str(error)


# Formats ------------------------------------------------------------------------------------------


def test_an_unknown_format_is_refused_with_the_choices():
    with pytest.raises(SpeechgruError, match=f"'docx'.*{'.*'.join(FORMATS)}"):
        find_formats("docx")


def test_one_outcome_per_file_in_order_and_an_error_does_not_stop_the_rest():
    outcomes = transcribed([Path("a.wav"), Path("bad.wav"), Path("c.wav")], "txt", None)
    assert [o.source.name for o in outcomes] == ["a.wav", "bad.wav", "c.wav"]
    assert [o.output for o in outcomes] == ["this is a", "", "this is c"]
    assert [str(o.error or "") for o in outcomes] == ["", "bad.wav: bad", ""]
    assert [o.written for o in outcomes] == [()] * 3


@pytest.mark.parametrize(
    "name", ["é ü.wav", 'it\'s "q" $(x).wav', "new\nline.wav", "esc\x1b[31m.wav", "del\x7f\x9b.wav"]
)
def test_json_keeps_a_name_true_and_the_terminal_safe(name):
    line = transcribed([Path("d", name)], "json", None)[0].output
    assert line.isprintable()
    values = json.loads(line)
    assert (values["file"], values["text"]) == (f"d/{name}", f"this is {name[:-4]}")


def test_json_of_a_name_that_is_not_unicode():
    result = Result(Path(os.fsdecode(b"\xff.wav")), "x", Transcript("one", 1.0))
    line = FORMATS["json"].render(result)
    line.encode()
    assert json.loads(line)["file"] == r"\udcff.wav"


# What is written ----------------------------------------------------------------------------------


FILES = [Path("b.wav"), Path("bad.wav"), Path("x/a.mp3")]


@pytest.mark.parametrize("name", [name for name in FORMATS if not FORMATS[name].one_file])
def test_one_output_per_file_in_a_new_folder(tmp_path, name):
    folder = tmp_path / "new" / "texts"
    outcomes = transcribed(FILES, name, folder)
    names = [f"{stem}.{FORMATS[name].suffix}" for stem in "ba"]
    assert sorted(os.listdir(folder)) == sorted(names)
    assert [o.written for o in outcomes] == [(folder / names[0],), (), (folder / names[1],)]
    printed = transcribed(FILES[:1], name, None)[0].output
    assert (folder / names[0]).read_text() == printed + "\n"


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].one_file])
def test_one_output_for_all_files_sorted_by_id(tmp_path, name):
    outcomes = transcribed(FILES, name, tmp_path)
    assert os.listdir(tmp_path) == [f"transcripts.{name}"]
    assert outcomes[-1].written == (tmp_path / f"transcripts.{name}",)
    assert [bool(o.error) for o in outcomes] == [False, True, False, False]
    printed = [o.output + "\n" for o in transcribed(FILES, name, None)]
    assert (tmp_path / f"transcripts.{name}").read_text() == printed[2] + printed[0]
    with pytest.raises(SpeechgruError, match=f"transcripts.{name}.*--force"):
        transcribed(FILES, name, tmp_path)
    assert len(transcribed(FILES, name, tmp_path, force=True)) == 4


def test_an_interrupted_run_leaves_what_there_is_of_one_file_for_all(tmp_path, caplog):
    files = find_audio(touch(tmp_path, "a.wav", "b.wav"))

    def interrupted_after(count: int) -> None:
        with Outputs(files, find_formats("trn"), tmp_path) as outputs:
            for number, _ in enumerate(transcribe_files(Echo(), files, outputs)):
                if number == count:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_after(0)
    assert not (tmp_path / "transcripts.trn").exists()
    assert (tmp_path / "transcripts.partial.trn").read_text() == "this is a (a)\n"
    assert "transcripts.partial.trn" in caplog.text


def test_several_formats_in_one_run(tmp_path):
    outcomes = transcribed(FILES[:1], "srt,json,CTM", tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["b.json", "b.srt", "transcripts.ctm"]
    assert outcomes[0].written == (tmp_path / "b.srt", tmp_path / "b.json")


@pytest.mark.parametrize(("formats", "files"), [("srt,json", 1), ("srt", 2), ("textgrid", 2)])
def test_what_cannot_be_printed_together_needs_a_folder(formats, files):
    with pytest.raises(SpeechgruError, match="--out"):
        transcribed(FILES[:files], formats, None)


def test_existing_outputs_can_be_skipped(tmp_path):
    touch(tmp_path, "out/b.txt", "out/b.json", "out/a.txt")
    skipped, bad, done = transcribed(FILES, "txt,json", tmp_path / "out", skip=True)
    assert (skipped.skipped, skipped.written, skipped.error) == (True, (), None)
    assert bad.error is not None
    assert [file.name for file in done.written] == ["a.txt", "a.json"]
    assert (tmp_path / "out/b.txt").read_text() == ""
    for formats, force in (("ctm", False), ("txt", True)):
        with pytest.raises(SpeechgruError, match="--skip-existing"):
            transcribed(FILES, formats, tmp_path, force, skip=True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("texts", "texts is a file"), ("texts/a", "texts is a file"), ("t" * 300, "too long")],
)
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, name, reason):
    touch(tmp_path, "texts")
    with pytest.raises(SpeechgruError, match=reason) as caught:
        transcribed([Path("a.wav"), Path("b.wav")], "txt", tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path}/{name}: ")


def test_existing_files_are_kept_without_force(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "a.txt")
    (tmp_path / "a.txt").write_text("typed by hand\n")
    kept, done = transcribed([tmp_path], "txt", tmp_path)
    for part in (f"{tmp_path}/a.txt: ", "--force", "--out"):
        assert part in str(kept.error)
    assert (tmp_path / "a.txt").read_text() == "typed by hand\n"
    assert done.written == (tmp_path / "b.txt",)
    assert (tmp_path / "b.txt").read_text() == "this is b\n"
    outcomes = transcribed([tmp_path], "txt", tmp_path, force=True)
    assert [o.error for o in outcomes] == [None, None]
    assert (tmp_path / "a.txt").read_text() == "this is a\n"


@pytest.mark.parametrize(
    ("formats", "force", "skip"),
    [("txt", True, False), ("trn", True, False), ("srt,txt", False, True)],
)
def test_an_output_never_replaces_an_input(tmp_path, formats, force, skip):
    for name in ("a.wav", "a.txt", "transcripts.trn"):
        (tmp_path / name).write_text("typed by hand\n")
    (tmp_path / "same").symlink_to(tmp_path)
    inputs = [None, tmp_path / "same/a.txt", tmp_path / "same/transcripts.trn"]
    files = find_audio([tmp_path / "a.wav"])
    with pytest.raises(SpeechgruError, match="input"):
        Outputs(files, find_formats(formats), tmp_path, force, skip, inputs)
    Outputs(files, find_formats(formats), tmp_path / "out", force, skip, inputs)


def test_an_input_that_stays_is_not_refused(tmp_path):
    a, notes = touch(tmp_path, "a.wav", "notes.txt")  # as by * in a folder of both
    Outputs(
        find_audio([a, notes]), find_formats("txt"), tmp_path, skip_existing=True, inputs=[notes]
    )
    Outputs(find_audio([a]), find_formats("txt"), tmp_path, force=True, inputs=[notes])


@pytest.mark.parametrize(("out", "formats"), [("a.srt", "srt"), ("all.CTM", "txt,ctm")])
def test_a_file_name_is_not_taken_for_a_folder(tmp_path, out, formats):
    files = find_audio(touch(tmp_path, "a.wav"))
    with pytest.raises(SpeechgruError, match="folder"):
        Outputs(files, find_formats(formats), tmp_path / out)
    (tmp_path / out).mkdir()
    Outputs(files, find_formats(formats), tmp_path / out)


def test_outputs_mirror_the_folders_of_the_input(tmp_path):
    touch(tmp_path, "in/anna/1.wav", "in/bob/1.wav", "in/2.wav", "3.wav")
    outcomes = transcribed([tmp_path / "in", tmp_path / "3.wav"], "txt", tmp_path / "out")
    written = [str(o.written[0].relative_to(tmp_path / "out")) for o in outcomes]
    assert written == ["2.txt", "anna/1.txt", "bob/1.txt", "3.txt"]
    assert all((tmp_path / "out" / name).is_file() for name in written)


def names(*files: str) -> list[str]:
    return [f"{name}.txt" for name in _names(find_audio([Path(file) for file in files])).values()]


def test_names_of_outputs():
    assert names("x/a.wav", "b.wav") == ["a.txt", "b.txt"]
    assert names("a.wav", "a.mp3") == ["a.wav.txt", "a.mp3.txt"]
    assert names("x/a.wav", "/y/a.wav", "a.wav") == ["x/a.txt", "y/a.txt", "a.wav.txt"]
    assert names("x/a.wav", "x/a.mp3", "y/a.wav") == ["x/a.txt", "a.mp3.txt", "y/a.txt"]
    assert names("x/s/a.wav", "y/s/a.wav") == ["x/s/a.txt", "y/s/a.txt"]
    assert names("a.wav", "../a.wav", "../../a.wav") == [
        "a.wav.txt", "a.wav.2.txt", "a.wav.3.txt"
    ]  # fmt: skip
    assert names("new\nline.wav") == [r"new\nline.txt"]


def test_a_file_of_an_earlier_run_is_known_by_its_folder(tmp_path):
    touch(tmp_path, "a/1.wav", "b/1.wav", "c/1.wav")
    a, b, c = (tmp_path / name for name in "abc")
    transcribed([b, c], "txt", tmp_path / "out")
    later = transcribed([c, a, b], "txt", tmp_path / "out", skip=True)
    assert [(o.source.parent, o.skipped) for o in later] == [(c, True), (a, False), (b, True)]


PARTS = st.sampled_from(["a", "b", "a.wav", ".wav", "a.2", "\n", "é", "-a", "..."])


@given(st.lists(st.tuples(PARTS, PARTS, PARTS), max_size=8, unique=True), st.booleans())
def test_no_two_files_share_an_output_and_none_leaves_the_folder(parts, alone):
    files = [Path(*folders, name + ".wav") for *folders, name in parts]
    files = [AudioFile(file, Path(file.name) if alone else file) for file in files]
    found = {file: f"{name}.txt" for file, name in _names(files).items()}
    assert len(set(found.values())) == len(set(files))
    for file, name in found.items():
        folders = tuple(printable(part) for part in file.parts[:-1])
        found_folders = Path(name).parts[:-1]
        assert found_folders == (folders[len(folders) - len(found_folders) :] if alone else folders)
        assert ".." not in Path(name).parts
        assert name.isprintable()
