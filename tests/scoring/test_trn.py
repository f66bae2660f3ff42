"""Transcript files with one utterance per line: read, matched by id, and written whole."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import ScoringError
from speechgru.scoring import Counts, read_matched, score, score_files, tidy
from speechgru.scoring.trn import speaker_of, write_trn


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path) -> dict[str, str]:
    """Texts of a file by id, as a reference of itself."""
    texts = read_matched(path, path)
    return {
        id_: " ".join(graph.words) for id_, graph in zip(texts.ids, texts.references, strict=True)
    }


def test_trn_and_plain_text_are_distinguished(tmp_path):
    trn = "she had  your (sa01)\r\n\n;; comment (x)\n(sa02)\nwash water (spk-1/sa03) \n"
    expected = {"sa01": "she had your", "sa02": "", "spk-1/sa03": "wash water"}
    assert read(write(tmp_path, "a.trn", trn)) == expected
    assert read(write(tmp_path, "a.transcription", "\ufeff" + trn)) == expected
    plain = "one two\n\nthree (laughs)\nfour\u2028five"
    expected = {"1": "one two", "2": "", "3": "three (laughs)", "4": "four five"}
    assert read(write(tmp_path, "a.txt", plain)) == expected
    assert read(write(tmp_path, "silent.txt", "\n\n")) == {"1": "", "2": ""}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.trn", "one (u1)\ntwo\n", r"a\.trn, line 2: .*'text \(id\)'.*'two'"),
        ("a.txt", "one (u1)\ntwo (u2)\nthree", r"a\.txt, line 3: .*'three'"),
        ("a.trn", "one (u1)\ntwo (u1)\n", r"line 2: .*'u1'"),
        ("a.trn", "one (u1)\n{ um / uh (u2)\n", r"line 2: .*brace"),
        ("a.trn", "{um/} one (u1)\n", r"line 1: .*empty"),
        ("a.txt", b"one\ncaf\xe9\n", r"line 2: .*0xe9"),
        ("a.txt", "", r"a\.txt: no utterances"),
        ("a.trn", "\n\n", r"a\.trn: no utterances"),
    ],
)
def test_malformed_files_are_named_in_one_line(tmp_path, name, content, message):
    with pytest.raises(ScoringError, match=message) as caught:
        read(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named_with_the_reason(tmp_path):
    for path, reason in ((tmp_path / "no.trn", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ScoringError, match=f"{path}.*{reason}"):
            read(path)


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
words = [
    "ab",
    "é",
    "e\u0301",
    "語",
    "a'b",
    "{",
    "/",
    "}",
    "{a/b}",
    "(x)",
    "5%",
    "@",
    "(",
    "a*",
    "*",
]
words += ["**b", ";;", "a;b", "\\", "\\;", "%7B", "%25", "%257B", "%40", "%", "()", "(a", "a)"]
texts = st.lists(st.sampled_from(words), max_size=8).map(" ".join)


@given(st.dictionaries(names, texts, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_written_trn_reads_back_under_safe_ids(tmp_path_factory, transcripts):
    path = tmp_path_factory.mktemp("trn") / "hyp.trn"
    write_trn(path, transcripts.items())
    found = read(path)
    assert list(found.values()) == [tidy(text) for text in transcripts.values()]
    assert len(found) == len(transcripts)
    assert not any(c.isspace() or c in "()" for name in found for c in name)


def test_a_text_may_begin_with_a_byte_order_mark(tmp_path):
    transcripts = {"u1": "\ufeffone %EF%BB%BF", "u2": "two"}
    write_trn(tmp_path / "a.trn", transcripts.items())
    assert read(tmp_path / "a.trn") == transcripts


@given(
    st.lists(
        st.tuples(texts, texts, st.sampled_from(["ann", "b-b", "c_c", "unknown", "e", "", None])),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_written_files_score_as_the_texts_do(tmp_path_factory, utterances):
    """Counts, and the interval, which depends on the speakers."""
    references, hypotheses, speakers = zip(*utterances, strict=True)
    ids = [f"x-{n}/a_b" for n in range(len(utterances))]
    folder = tmp_path_factory.mktemp("trn")
    for name, side in (("ref.trn", references), ("hyp.trn", hypotheses)):
        write_trn(folder / name, zip(ids, side, strict=True), speakers)
    expected = score(references, hypotheses, ids, speakers)
    found = score_files(folder / "ref.trn", folder / "hyp.trn")
    assert (found.words, found.characters) == (expected.words, expected.characters)
    assert [u.speaker for u in found.utterances] == [u.speaker for u in expected.utterances]
    assert [u.speaker for u in found.utterances] == [each or None for each in speakers]
    assert (found.wer_ci95, found.ci_unit) == (expected.wer_ci95, expected.ci_unit)


@pytest.mark.parametrize(
    ("id_", "speaker"),
    [
        ("ann-1", "ann"),
        ("ann_b-1", "ann_b"),
        ("ann_1", "ann"),
        ("ann-b-1", "ann"),
        ("ann%2Db-1", "ann-b"),
        ("u1", None),
        ("-1", None),
        ("unknown-1", None),
        ("%75nknown-1", "unknown"),
    ],
)
def test_speakers_are_the_beginning_of_ids(id_, speaker):
    assert speaker_of(id_) == speaker


def test_ids_begin_with_their_speakers(tmp_path):
    path = tmp_path / "a.trn"
    write_trn(path, [("an1-ann-b", "x"), ("an2", "y")], ["ann", None])
    assert path.read_text() == "x (ann-an1-ann-b)\ny (unknown-an2)\n"
    write_trn(path, [("ann-1", "x"), ("bob_1", "y")], ["ann", "bob"])
    assert path.read_text() == "x (ann-1)\ny (bob_1)\n"
    write_trn(path, [("unknown-1", "x")], ["unknown"])
    assert path.read_text() == "x (%75nknown-unknown-1)\n"


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
    assert read(path) == {"u": "a {b/c} d{"}


def test_write_trn_leaves_the_old_file_whole_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "hyp.trn"
    write_trn(path, [("u", "old")])
    for pairs, named in [([("v", ""), ("v", "")], "'v'"), ([("", "")], "empty")]:
        with pytest.raises(ScoringError, match=named):
            write_trn(path, pairs)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ScoringError, match=r"hyp\.trn.*No space"):
        write_trn(path, [("u", "new")])
    assert path.read_text() == "old (u)\n"
    assert os.listdir(tmp_path) == ["hyp.trn"]
