"""Manifests: what is read, ids, errors, and what is written."""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru import manifest
from speechgru.errors import ManifestError
from speechgru.manifest import Utterance, read_manifest, scan_manifest
from speechgru.manifest_writer import write_manifest

GOOD = {"audio_filepath": "a.wav", "duration": 1.5, "text": "yes"}


def written(folder: Path, *lines: object) -> Path:
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def ids(folder: Path, *lines: tuple[str, float]) -> list[str]:
    entries = [{**GOOD, "audio_filepath": name, "offset": offset} for name, offset in lines]
    return [utterance.id for utterance in read_manifest(written(folder, *entries))]


def refused(path: Path | str) -> str:
    """The message with which a manifest is refused."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert message.isprintable()
    return message


# Reading -----------------------------------------------------------------------------------------


def test_every_key(tmp_path: Path) -> None:
    line = {**GOOD, "id": "u 7", "offset": 2, "speaker": "anna", "lang": "en", "words": 1}
    (found,) = read_manifest(written(tmp_path, line))
    assert found == Utterance(
        audio=str(tmp_path / "a.wav"),
        duration=1.5,
        text="yes",
        id="u 7",
        offset=2.0,
        speaker="anna",
        lang="en",
    )


def test_null_is_absent_and_a_number_is_a_name(tmp_path: Path) -> None:
    line = {**GOOD, "offset": None, "speaker": None, "id": None}
    (found,) = read_manifest(written(tmp_path, line))
    assert (found.offset, found.speaker, found.id) == (0.0, None, "a")
    (found,) = read_manifest(written(tmp_path, {**GOOD, "speaker": 7, "id": 0}))
    assert (found.speaker, found.id) == ("7", "0")


def test_a_noise_manifest_needs_no_text(tmp_path: Path) -> None:
    lines = [{"audio_filepath": "rain.ogg", "duration": 5}, GOOD]
    path = written(tmp_path, *lines)
    assert [u.text for u in read_manifest(path, text_required=False)] == ["", "yes"]
    assert refused(path).startswith(f"{path}:1: ")


def test_paths_are_relative_to_the_manifest_not_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    absolute = {**GOOD, "audio_filepath": str(tmp_path / "elsewhere/b.wav")}
    upward = {**GOOD, "audio_filepath": "../c.wav"}
    written(tmp_path / "data", GOOD, absolute, upward)
    monkeypatch.chdir(tmp_path)
    found = [u.audio for u in read_manifest("data/m.jsonl")]
    assert found == [str(tmp_path / name) for name in ("data/a.wav", "elsewhere/b.wav", "c.wav")]


def test_a_manifest_behind_a_link_finds_its_audio(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/a.wav").touch()
    (tmp_path / "link").symlink_to("real/deep")
    utterance = Utterance(str(tmp_path / "real/a.wav"), 1.0, "x", "a")
    write_manifest(tmp_path / "link/m.jsonl", [utterance])
    line = json.loads((tmp_path / "real/deep/m.jsonl").read_text())
    assert line["audio_filepath"] == "../a.wav"
    assert os.path.isfile(read_manifest(tmp_path / "link/m.jsonl")[0].audio)


def test_a_manifest_that_is_a_link_is_relative_to_the_link_then_to_its_target(
    tmp_path: Path,
) -> None:
    """A cache of links to blobs/HASH has the audio beside the link; a link to a manifest of another
    folder, beside the target."""
    for name in ("blobs/4d7a", "blobs/only-there.wav", "snapshot/here.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "snapshot/both.wav").touch()
    (tmp_path / "blobs/both.wav").touch()
    names = ("here.wav", "only-there.wav", "both.wav", "nowhere.wav")
    content = written(tmp_path, *({**GOOD, "audio_filepath": name} for name in names))
    (tmp_path / "blobs/4d7a").write_bytes(content.read_bytes())
    (tmp_path / "snapshot/test.jsonl").symlink_to("../blobs/4d7a")
    found = [u.audio for u in read_manifest(tmp_path / "snapshot/test.jsonl")]
    expected = (
        "snapshot/here.wav",
        "blobs/only-there.wav",
        "snapshot/both.wav",
        "snapshot/nowhere.wav",
    )
    assert found == [str(tmp_path / name) for name in expected]
    (tmp_path / "linked").symlink_to("snapshot")
    assert read_manifest(tmp_path / "linked/test.jsonl")[0].audio == str(tmp_path / expected[0])


def test_a_path_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, {**GOOD, "audio_filepath": "~/b/a.wav"}, {**GOOD, "audio_filepath": "~a.wav"})
    found = [u.audio for u in read_manifest("~/m.jsonl")]
    assert found == [str(tmp_path / "b/a.wav"), str(tmp_path / "~a.wav")]


def test_a_manifest_that_is_spelt_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Da\u0308ten").mkdir()
    written(tmp_path / "Da\u0308ten", GOOD)
    assert read_manifest(tmp_path / "D\u00e4ten/m.jsonl")
    monkeypatch.chdir(tmp_path)
    assert read_manifest("D\u00e4ten\\m.jsonl")
    assert "D\u00e4ten/M.JSONL: no such file; there is Da\u0308ten/m.jsonl, " in refused(
        "D\u00e4ten/M.JSONL"
    )


def test_byte_order_mark_blank_lines_and_windows_ends(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    line = json.dumps({**GOOD, "text": "été\u2028eau"}, ensure_ascii=False).encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n")
    assert [u.text for u in read_manifest(path)] == ["été\u2028eau"]


def test_what_the_fast_decoder_refuses_is_read_if_it_can_be(tmp_path: Path) -> None:
    """A file name with a byte that is not UTF-8, and a whole number of any size as a name."""
    name = os.fsdecode(b"caf\xe9.wav")
    (found,) = read_manifest(written(tmp_path, {**GOOD, "audio_filepath": name, "id": 10**30}))
    assert os.fsencode(found.audio).endswith(b"caf\xe9.wav")
    assert found.id == str(10**30)


def test_distinct_files_up_to_a_limit() -> None:
    listed = [Utterance(f"/{name}.wav", 1.0, "x", str(n)) for n, name in enumerate("abab")]
    assert manifest.distinct_files(listed, 2) == ["/a.wav", "/b.wav"]
    assert manifest.distinct_files(listed, 1) is None


# Ids ---------------------------------------------------------------------------------------------


def test_an_id_depends_on_its_own_line_only(tmp_path: Path) -> None:
    lines = [("d/a.wav", 0.0), ("d/b.wav", 0.0), ("d/b.wav", 2.25), ("c.wav", 1.0)]
    expected = ["d/a", "d/b", "d/b@2.25", "c@1"]
    assert ids(tmp_path, *lines) == expected
    for line, id_ in zip(lines, expected, strict=True):
        assert ids(tmp_path, line) == [id_]


def test_ids_of_offsets_that_are_nearly_equal_differ(tmp_path: Path) -> None:
    offsets = (12345.62, 12345.64, 150000.2, 150000.4, 1e-7, 0.1 + 0.2, 0.3)
    assert len(set(ids(tmp_path, *[("a.wav", offset) for offset in offsets]))) == len(offsets)


def test_an_id_is_what_the_line_says_wherever_the_utterance_is_written(tmp_path: Path) -> None:
    (found,) = read_manifest(written(tmp_path, {**GOOD, "id": "1089-134686-0000"}))
    write_manifest(tmp_path / "far/away/m.jsonl", [found])
    (again,) = read_manifest(tmp_path / "far/away/m.jsonl")
    assert again == found
    derived = read_manifest(written(tmp_path, {**GOOD, "audio_filepath": "x/y/a.wav"}))
    write_manifest(tmp_path / "far/away/m.jsonl", derived)
    assert [u.id for u in read_manifest(tmp_path / "far/away/m.jsonl")] == ["x/y/a"]


def test_ids_are_one_printable_line(tmp_path: Path) -> None:
    name = os.fsdecode(b"two\nlines caf\xe9.wav")
    assert ids(tmp_path, (name, 0)) == [r"two\nlines caf\udce9"]
    (found,) = read_manifest(written(tmp_path, {**GOOD, "id": "two\nlines"}))
    assert found.id == r"two\nlines"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"id": "x"}, {"id": "x", "audio_filepath": "b.wav"}),
        ({}, {"id": "a", "audio_filepath": "b.wav"}),
        ({}, {"audio_filepath": "a.flac"}),
        ({"duration": 1}, {"duration": 2}),
    ],
)
def test_two_lines_of_one_id_are_both_named(tmp_path: Path, first: dict, second: dict) -> None:
    other = {**GOOD, "audio_filepath": "other.wav"}
    path = written(tmp_path, other, {**GOOD, **first}, {**GOOD, **second})
    path.write_text(path.read_text().replace("\n", "\n\n", 1))
    message = refused(path)
    assert message.startswith(f"{path}:4: ")
    assert "line 3" in message
    assert '"id"' in message


# Errors ------------------------------------------------------------------------------------------

ERRORS: list[tuple[object, str, object]] = [  # a line, the wrong key, the value found
    ([GOOD], "object", "a.wav"),
    ("text", "object", "text"),
    (7, "object", 7),
    ({}, "audio_filepath", "no key"),
    ({"audio": "a.wav", "text": "x"}, "audio_filepath", "audio"),
    ({"audio_filepath": "a.wav", "duration": 1}, "text", "duration"),
    ({"audio_filepath": "a.wav", "text": "x"}, "duration", "text"),
    ({**GOOD, "audio_filepath": ""}, "audio_filepath", ""),
    ({**GOOD, "audio_filepath": "a\0.wav"}, "audio_filepath", "a"),
    ({**GOOD, "audio_filepath": 3}, "audio_filepath", 3),
    ({**GOOD, "duration": "1.5"}, "duration", "'1.5'"),
    ({**GOOD, "duration": 0}, "duration", 0),
    ({**GOOD, "duration": -1}, "duration", -1),
    ({**GOOD, "duration": True}, "duration", True),
    ({**GOOD, "duration": None}, "duration", "null"),
    ({**GOOD, "duration": 10**400}, "duration", "1000"),
    ({**GOOD, "duration": float("nan")}, "JSON", "NaN"),
    ({**GOOD, "duration": [1]}, "duration", "[1]"),
    ({**GOOD, "offset": -0.1}, "offset", -0.1),
    ({**GOOD, "offset": ""}, "offset", "''"),
    ({**GOOD, "text": None}, "text", "null"),
    ({**GOOD, "text": 5}, "text", 5),
    ({**GOOD, "text": "\ud800"}, "text", r"\ud800"),
    ({**GOOD, "speaker": ["a"]}, "speaker", "['a']"),
    ({**GOOD, "speaker": True}, "speaker", True),
    ({**GOOD, "id": 1.5}, "id", 1.5),
    ({**GOOD, "id": " "}, "id", "' '"),
]


@pytest.mark.parametrize(("line", "key", "found"), ERRORS)
def test_an_error_names_file_line_key_and_value(
    tmp_path: Path, line: object, key: str, found: object
) -> None:
    path = written(tmp_path, {**GOOD, "audio_filepath": "first.wav"}, line)
    message = refused(path)
    assert message.startswith(f"{path}:2: ")
    assert key in message
    assert str(found) in message.removeprefix(f"{path}:2: ")
    assert len(message) < len(str(path)) + 200


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (b"", None, ""),
        (b"\n \n", None, ""),
        (b"a.wav,1.5,yes\n", 1, "JSON"),
        (b'{"audio_filepath": "a.wav"\n', 1, "JSON"),
        (b"[" * 100_000, 1, "JSON"),
        (b'{"duration": ' + b"9" * 5000 + b"}", 1, "JSON"),
        (b'{"text": "\xe9"}\n', 1, "0xe9 at 10"),
        (b"RIFF\xff\xfe\x00\x00WAVE", None, "audio"),
        (b"OggS\x00", None, "audio"),
        (b"\x1f\x8b\x08\x00", None, "gzip"),
        ("\ufeff{}\n".encode("utf-16-le"), None, "UTF-16"),
        ("{}\n".encode("utf-16-le"), None, "UTF-16"),
        (b"PK\x03\x04", None, "office document"),
        (b"{\\rtf1\\ansi x}", None, "RTF"),
        (b"wav_filename,transcript\na.wav,one\n", 1, "speechgru init"),
        (b'[{"audio_filepath": "a.wav"}]\n', 1, "without [ ]"),
        (b'{"audio_filepath": "https://a.org/b.wav", "duration": 1, "text": ""}', 1, "URL"),
        (b'{"audio_filepath": "a.wav", "duration": null, "text": ""}', 1, "found null"),
        (b"x" * (manifest.MAX_LINE_BYTES + 1), 1, "1,000,000"),
    ],
)
def test_a_file_that_is_no_manifest(
    tmp_path: Path, content: bytes, line: int | None, found: str
) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert found in message
    assert ("save it as UTF-8" in message) == (b"\xe9" in content or "UTF-16" in found)


def test_no_file_a_folder_and_an_impossible_name(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "none.jsonl")
    assert "s a directory" in refused(tmp_path)
    assert "null" in refused("a\0b")


@given(st.binary(max_size=60) | st.text(max_size=20).map(lambda t: t.encode(errors="replace")))
def test_any_bytes_are_a_manifest_or_a_named_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        path.write_bytes(content)
        assert "m.jsonl" in refused(path)


# Writing -----------------------------------------------------------------------------------------


def test_an_empty_manifest_is_not_written_over_a_good_one(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    with pytest.raises(ManifestError, match=r"m\.jsonl"):
        write_manifest(path, [])
    assert read_manifest(path)


def test_a_folder_that_is_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match=r"file/m\.jsonl"):
        write_manifest(tmp_path / "file/m.jsonl", [Utterance("/a.wav", 1.0, "x", "a")])


def test_a_written_line_has_readable_text_and_no_empty_keys(tmp_path: Path) -> None:
    utterance = Utterance(str(tmp_path / "d/é.wav"), 1.5, "été", "d/é")
    write_manifest(tmp_path / "m.jsonl", [utterance])
    assert (tmp_path / "m.jsonl").read_text(encoding="utf-8") == (
        '{"audio_filepath": "d/é.wav", "duration": 1.5, "text": "été", "id": "d/é"}\n'
    )


texts = st.text(st.characters(codec="utf-8"), max_size=20)
printables = texts.filter(str.isprintable)
# any bytes that a file system allows
names = st.binary(min_size=1, max_size=12).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b"0").replace(b"/", b"_"))
)


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    return Utterance(
        audio="/data/x" + draw(names),
        duration=draw(st.floats(1e-3, 1e6)),
        text=draw(texts),
        id=draw(printables.filter(str.strip)),
        offset=draw(st.integers(0, 10**6)) / 1000,
        speaker=draw(st.none() | printables.filter(bool)),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are not bytes there")
@given(st.lists(utterances(), min_size=1, max_size=5, unique_by=lambda u: u.id))
def test_what_is_written_is_read(listed: list[Utterance]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        write_manifest(path, listed)
        assert read_manifest(path) == listed


def test_an_empty_speaker_is_none(tmp_path: Path) -> None:
    (found,) = read_manifest(written(tmp_path, {**GOOD, "speaker": "", "lang": ""}))
    assert (found.speaker, found.lang) == (None, None)


def test_a_long_line_counts_as_one(tmp_path: Path) -> None:
    path = written(tmp_path, {**GOOD, "text": "x" * 2_100_000}, GOOD)
    (first, error), (second, good) = scan_manifest(path)
    assert (first, second) == (1, 2)
    assert isinstance(error, ManifestError)
    assert good.text == GOOD["text"]


def test_a_scan_names_every_bad_line(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, {"audio_filepath": "b.wav"}, GOOD, 7)
    found = list(scan_manifest(path))
    assert [number for number, _ in found] == [1, 2, 3, 4]
    good, no_duration, same_id, number = (each for _, each in found)
    assert good == same_id
    assert isinstance(no_duration, ManifestError)
    assert isinstance(number, ManifestError)
    assert str(number).startswith(f"{path}:4: ")
