"""Transcript files: distinguishing trn from plain text, matched by id, and written whole."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import ScoringError
from speechgru.scoring import Counts, score_files
from speechgru.scoring.trn import read_transcripts, tidy, write_trn


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("reference", "hypothesis", "warned"),
    [
        ("utt1 hello world\nutt2 yes", "utt1 hello\nutt2 yes", True),
        ("1-2 a\n1-3 b", "1-2\n1-3", True),
        ("u-1 a\nu-B b", "u-B b\nu-1 a", True),  # sorted by another rule
        ("hello world\nyes", "hello\nyes", False),  # words
        ("utt1 a\nutt1 b", "utt1 a\nutt1 b", False),  # not unique
        ("utt1 a\nutt2 b", "utt1 a\n2 b", False),
        ("\n2 b", "\n2 b", False),
        ("utt1 hello", "utt1 hello", False),
    ],
)
def test_a_warning_when_ids_are_counted_as_words(tmp_path, caplog, reference, hypothesis, warned):
    files = write(tmp_path, "ref.txt", reference), write(tmp_path, "hyp.txt", hypothesis)
    assert score_files(*files).words.reference == len(reference.split())
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    assert all(f"{files[1]}: " in line for line in caplog.messages)
    assert all(reference.split()[0] in line for line in caplog.messages)


def test_trn_and_plain_text_are_told_apart(tmp_path):
    trn = "she had  your (sa01)\r\n\n(sa02)\nwash water (spk-1/sa03) \n"
    expected = {"sa01": "she had your", "sa02": "", "spk-1/sa03": "wash water"}
    assert read_transcripts(write(tmp_path, "a.trn", trn)) == expected
    assert read_transcripts(write(tmp_path, "a.transcription", "\ufeff" + trn)) == expected
    plain = "one two\n\nthree (laughs)\nfour\u2028five"
    expected = {"1": "one two", "2": "", "3": "three (laughs)", "4": "four five"}
    assert read_transcripts(write(tmp_path, "a.txt", plain)) == expected
    assert read_transcripts(write(tmp_path, "silent.txt", "\n\n")) == {"1": "", "2": ""}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.trn", "one (u1)\ntwo\n", r"a\.trn, line 2: .*'text \(id\)'.*'two'"),
        ("a.txt", "one (u1)\ntwo (u2)\nthree", r"a\.txt, line 3: .*'three'"),
        ("a.trn", "one (u1)\ntwo (u1)\n", r"line 2: .*'u1'"),
        ("a.trn", "{ um / uh / @ } one (u1)\n", r"line 1: .*braces"),
        ("a.trn", "{um/uh} one (u1)\n", r"line 1: .*braces"),
        ("a.txt", b"one\ncaf\xe9\n", r"line 2: .*0xe9"),
        ("a.txt", "", r"a\.txt: no utterances"),
        ("a.trn", "\n\n", r"a\.trn: no utterances"),
    ],
)
def test_malformed_files_are_named_in_one_line(tmp_path, name, content, message):
    with pytest.raises(ScoringError, match=message) as caught:
        read_transcripts(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named_with_the_reason(tmp_path):
    for path, reason in ((tmp_path / "no.trn", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ScoringError, match=f"{path}.*{reason}"):
            read_transcripts(path)


def test_files_are_matched_by_id_whatever_their_order(tmp_path):
    ref = write(tmp_path, "ref.trn", "one two (u1)\nthree (u2)\n")
    hyp = write(tmp_path, "hyp.trn", "three (u2)\none (u1)\n")
    result = score_files(ref, hyp)
    assert result.words == Counts(3, 0, 1, 0)
    assert [u.id for u in result.utterances] == ["u1", "u2"]


def test_different_ids_are_named_with_counts(tmp_path):
    ref = write(tmp_path, "ref.trn", "".join(f"one (u{n})\n" for n in range(9)))
    hyp = write(tmp_path, "hyp.trn", "".join(f"one (u{n})\n" for n in range(4)) + "one (v)\n")
    with pytest.raises(ScoringError) as caught:
        score_files(ref, hyp)
    message = str(caught.value)
    for part in ("5 of 9 ", "(u4, u5, u6 and 2 more)", " 1 ", "(v)"):
        assert part in message


names = st.text(min_size=1, max_size=12)  # surrogates too: file names may be no UTF-8
words = ["ab", "é", "e\u0301", "語", "a'b", "{", "/", "}", "{a/b}", "(x)", "5%"]
texts = st.lists(st.sampled_from(words), max_size=8).map(" ".join)


@given(st.dictionaries(names, texts, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_written_trn_reads_back_under_safe_ids(tmp_path_factory, transcripts):
    path = tmp_path_factory.mktemp("trn") / "hyp.trn"
    write_trn(path, transcripts.items())
    found = read_transcripts(path)
    assert list(found.values()) == [tidy(text) for text in transcripts.values()]
    assert len(found) == len(transcripts)
    assert not any(c.isspace() or c in "()" for name in found for c in name)


def test_ids_are_kept_where_they_are_safe(tmp_path):
    path = tmp_path / "hyp.trn"
    write_trn(path, [("an4/an406-fcaw-b", "rubout"), ("my file (1).wav", ""), ("é", "a\nb")])
    assert path.read_text(encoding="utf-8") == (
        "rubout (an4/an406-fcaw-b)\n(my%20file%20%281%29.wav)\na b (é)\n"
    )


def test_braces_of_a_text_are_no_alternatives_to_other_tools(tmp_path):
    """To sclite a word that begins with "{" begins alternatives."""
    path = tmp_path / "hyp.trn"
    write_trn(path, [("u", "a {b/c} d{")])
    assert "{" not in path.read_text()
    assert read_transcripts(path) == {"u": "a {b/c} d{"}


def test_write_trn_leaves_the_old_file_whole_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "hyp.trn"
    write_trn(path, [("u", "old")])
    for pairs, named in [([("v", ""), ("v", "")], "'v'"), ([("", "")], "''")]:
        with pytest.raises(ScoringError, match=named):
            write_trn(path, pairs)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ScoringError, match=r"hyp\.trn.*No space"):
        write_trn(path, [("u", "new")])
    assert path.read_text() == "old (u)\n"
    assert os.listdir(tmp_path) == ["hyp.trn"]
