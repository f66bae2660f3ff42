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
from speechgru.manifest import Utterance, Word, read_manifest, write_manifest

GOOD = {"audio_filepath": "a.wav", "duration": 1.5, "text": "yes"}


def written(folder: Path, *lines: object) -> Path:
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def ids(folder: Path, *lines: tuple[str, float]) -> list[str]:
    entries = [{**GOOD, "audio_filepath": name, "offset": offset} for name, offset in lines]
    return [utterance.id for utterance in read_manifest(written(folder, *entries))]


def test_every_key(tmp_path: Path) -> None:
    words = [{"word": "two", "start": 0.1, "end": 0.4}, {"word": "six", "start": 0.4, "end": 1}]
    line = {**GOOD, "offset": 2, "speaker": "anna", "lang": "en", "words": words, "pnc": 1}
    (found,) = read_manifest(written(tmp_path, line))
    assert found == Utterance(
        audio=tmp_path / "a.wav",
        duration=1.5,
        text="yes",
        id="a@2",
        offset=2.0,
        speaker="anna",
        lang="en",
        words=(Word("two", 0.1, 0.4), Word("six", 0.4, 1.0)),
    )


def test_null_is_absent_and_a_number_names_a_speaker(tmp_path: Path) -> None:
    line = {**GOOD, "offset": None, "speaker": 7, "lang": None, "words": None}
    (found,) = read_manifest(written(tmp_path, line))
    assert (found.offset, found.speaker, found.lang, found.words) == (0.0, "7", None, ())


def test_paths_are_relative_to_the_manifest_not_to_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    absolute = {**GOOD, "audio_filepath": str(tmp_path / "elsewhere/b.wav")}
    upward = {**GOOD, "audio_filepath": "../c.wav"}
    written(tmp_path / "data", GOOD, absolute, upward)
    monkeypatch.chdir(tmp_path)
    found = [u.audio for u in read_manifest("data/m.jsonl")]
    assert found == [tmp_path / "data/a.wav", tmp_path / "elsewhere/b.wav", tmp_path / "c.wav"]


def test_a_manifest_behind_a_link_finds_its_audio(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/a.wav").touch()
    (tmp_path / "link").symlink_to("real/deep")
    utterance = Utterance(tmp_path / "real/a.wav", 1.0, "x", "a")
    write_manifest(tmp_path / "link/m.jsonl", [utterance])
    line = json.loads((tmp_path / "real/deep/m.jsonl").read_text())
    assert line["audio_filepath"] == "../a.wav"
    assert read_manifest(tmp_path / "link/m.jsonl")[0].audio.is_file()


def test_byte_order_mark_blank_lines_and_windows_ends(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    line = json.dumps({**GOOD, "text": "été\u2028eau"}, ensure_ascii=False).encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n")
    assert [u.text for u in read_manifest(path)] == ["été\u2028eau"]


def test_ids_are_unique_and_do_not_depend_on_order(tmp_path: Path) -> None:
    lines = [("d/a.wav", 0.0), ("d/b.wav", 0.0), ("d/b.wav", 2.25), ("c.wav", 1.0)]
    expected = ["d/a", "d/b@0", "d/b@2.25", "c@1"]
    assert ids(tmp_path, *lines) == expected
    assert ids(tmp_path, *reversed(lines)) == expected[::-1]


def test_ids_do_not_depend_on_where_the_corpus_stands(tmp_path: Path) -> None:
    for home in ("", "audio/", "../../other disk/fsdd/", "/srv/fsdd/"):
        assert ids(tmp_path, (f"{home}x/a.wav", 0), (f"{home}y/a.wav", 0)) == ["x/a", "y/a"]
        assert ids(tmp_path, (f"{home}a.wav", 0), (f"{home}b.wav", 0)) == ["a", "b"]


def test_names_that_differ_in_suffix_only_keep_it(tmp_path: Path) -> None:
    assert ids(tmp_path, ("a.wav", 0), ("a.flac", 0), ("b.wav", 0)) == ["a.wav", "a.flac", "b"]
    assert ids(tmp_path, ("rec.01", 0), ("rec.02", 0)) == ["rec.01", "rec.02"]
    assert ids(tmp_path, ("a.wav", 0), ("a", 0)) == ["a.wav", "a"]


def test_ids_are_one_printable_line(tmp_path: Path) -> None:
    name = os.fsdecode(b"two\nlines caf\xe9.wav")
    assert ids(tmp_path, (name, 0)) == [r"two\nlines caf\udce9"]


FAULTS: list[tuple[object, str]] = [
    ([GOOD], "expected a JSON object"),
    ("text", "expected a JSON object"),
    ({}, "no 'audio_filepath'; it has no key"),
    ({"audio": "a.wav", "text": "x"}, "no 'audio_filepath'; it has audio, text"),
    ({"audio_filepath": "a.wav", "duration": 1}, "no 'text'"),
    ({"audio_filepath": "a.wav", "text": "x"}, "no 'duration'"),
    ({**GOOD, "audio_filepath": ""}, "audio_filepath must be the path"),
    ({**GOOD, "audio_filepath": "a\0.wav"}, "audio_filepath must be the path"),
    ({**GOOD, "audio_filepath": 3}, "audio_filepath must be a string, found 3"),
    ({**GOOD, "duration": "1.5"}, "duration must be a number of seconds above 0, found '1.5'"),
    ({**GOOD, "duration": 0}, "duration must be a number of seconds above 0, found 0"),
    ({**GOOD, "duration": -1}, "duration must be"),
    ({**GOOD, "duration": True}, "duration must be"),
    ({**GOOD, "duration": None}, "duration must be"),
    ({**GOOD, "duration": 10**400}, "duration must be"),
    ({**GOOD, "duration": float("nan")}, "NaN is not a JSON number"),
    ({**GOOD, "offset": -0.1}, "offset must be a number of seconds from 0"),
    ({**GOOD, "text": None}, "text must be a string, found None"),
    ({**GOOD, "text": "\ud800"}, "text must be valid Unicode"),
    ({**GOOD, "speaker": ["a"]}, "speaker must be a string"),
    ({**GOOD, "speaker": True}, "speaker must be a string"),
    ({**GOOD, "lang": 1}, "lang must be a string"),
    ({**GOOD, "words": "a b"}, "words must be a list"),
    ({**GOOD, "words": ["a"]}, "words must be a list"),
    ({**GOOD, "words": [{"word": "a", "start": 0}]}, "no 'end'"),
    ({**GOOD, "words": [{"word": "a", "start": 2, "end": 1}]}, "end of word 'a' must be at least"),
    (GOOD, "same piece of audio as in"),
]


@pytest.mark.parametrize(("line", "message"), FAULTS)
def test_a_fault_names_file_and_line_in_one_line(
    tmp_path: Path, line: object, message: str
) -> None:
    path = written(tmp_path, GOOD, line)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:2: ")
    assert message in text
    assert text.isprintable()
    assert len(text) < len(str(path)) * 2 + 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no utterance in it"),
        (b"\n \n", "no utterance in it"),
        (b"a.wav,1.5,yes\n", ":1: not JSON"),
        (b'{"audio_filepath": "a.wav"\n', ":1: not JSON"),
        (b"[" * 100_000, ":1: not JSON (nested too deeply)"),
        (b'{"duration": ' + b"9" * 5000 + b"}", ":1: not JSON"),
        (b'{"text": "\xe9"}\n', ":1: not UTF-8 (byte 0xe9 at 10)"),
        (b"RIFF\xff\xfe\x00\x00WAVE", ":1: not UTF-8"),
        (b"x" * (manifest.MAX_LINE_BYTES + 1), ":1: longer than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_manifest(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"m\.jsonl") as caught:
        read_manifest(path)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_no_file_a_folder_and_one_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match="s a directory"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="null"):
        read_manifest("a\0b")
    monkeypatch.setattr(manifest, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(ManifestError, match="a manifest may have 10"):
        read_manifest(written(tmp_path, GOOD))


def test_an_empty_manifest_is_not_written_over_a_good_one(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    with pytest.raises(ManifestError, match="nothing to write"):
        write_manifest(path, [])
    assert read_manifest(path)


def test_a_folder_that_is_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match="cannot be written"):
        write_manifest(tmp_path / "file/m.jsonl", [Utterance(tmp_path / "a.wav", 1.0, "x", "a")])


def test_written_manifests_are_readable_and_hold_only_what_is_known(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.jsonl", [Utterance(tmp_path / "d/é.wav", 1.5, "été", "d/é")])
    assert (tmp_path / "m.jsonl").read_text(encoding="utf-8") == (
        '{"audio_filepath": "d/é.wav", "duration": 1.5, "text": "été"}\n'
    )


texts = st.text(st.characters(codec="utf-8"), max_size=20)
seconds = st.floats(0, 1e6, allow_subnormal=False)
# any bytes a file system allows
names = st.binary(min_size=1, max_size=12).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b"0").replace(b"/", b"_"))
)
words = st.builds(
    lambda word, start, length: Word(word, start, start + length), texts, seconds, seconds
)


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    return Utterance(
        audio=Path("/data") / ("x" + draw(names)),
        duration=draw(st.floats(1e-3, 1e6)),
        text=draw(texts),
        id="",
        offset=draw(st.integers(0, 10**6)) / 1000,
        speaker=draw(st.none() | texts),
        lang=draw(st.none() | texts),
        words=tuple(draw(st.lists(words, max_size=3))),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are not bytes there")
@given(st.lists(utterances(), min_size=1, max_size=5, unique_by=lambda u: (u.audio, u.offset)))
def test_what_is_written_is_read(listed: list[Utterance]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        write_manifest(path, listed)
        found = read_manifest(path)

    def values(u: Utterance) -> tuple[object, ...]:
        return u.audio, u.duration, u.text, u.offset, u.speaker, u.lang, u.words

    assert [values(u) for u in found] == [values(u) for u in listed]
    assert len({u.id for u in found}) == len(listed)
    assert all(u.id.isprintable() for u in found)


@given(st.binary(max_size=60) | texts.map(str.encode))
def test_any_bytes_are_a_manifest_or_a_named_fault(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=r"m\.jsonl") as caught:
            read_manifest(path)
        assert str(caught.value).isprintable()
