"""Output formats: what they contain, and that other programs read them."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid

from speechgru.decoding import Transcript, Word
from speechgru.formats import FORMATS, SCHEMA, Result
from speechgru.scoring import read_matched
from speechgru.subtitles import COLUMNS, LEAST, LINES, MOST, make_cues

WORDS = (
    Word("one", 0.1, 0.4, 0.9), Word("two", 0.4, 0.75, 0.8), Word("three", 1.6, 2.0, 0.7),
    Word('fo"ur', 3.2, 3.5, 1.0),
)  # fmt: skip
TRANSCRIPT = Transcript(" ".join(w.text for w in WORDS), 4.0, WORDS, 0.85)
EMPTY = Transcript("", 2.0, reason="silent")


def render(name: str, transcript: Transcript = TRANSCRIPT, id_: str = "x/a b") -> str:
    return FORMATS[name].render(Result(Path("a b.wav"), id_, transcript))


def test_json_has_a_schema_words_and_a_reason():
    values = json.loads(render("json"))
    assert list(values) == ["format", "file", "text", "duration", "confidence", "words"]
    assert values["format"] == SCHEMA
    assert values["words"][1] == {"word": "two", "start": 0.4, "end": 0.75, "confidence": 0.8}
    assert json.loads(render("json", EMPTY))["reason"] == "silent"


def test_ctm():
    assert render("ctm").splitlines()[:2] == [
        "x/a%20b 1 0.100 0.300 one 0.900",
        "x/a%20b 1 0.400 0.350 two 0.800",
    ]
    assert render("ctm", EMPTY) == ""


def test_stm_has_a_line_per_stretch_between_pauses():
    assert render("stm", id_="a").splitlines() == [
        "a 1 a 0.100 0.750 one two", "a 1 a 1.600 2.000 three", 'a 1 a 3.200 3.500 fo"ur',
    ]  # fmt: skip
    assert render("stm", EMPTY, "a") == "a 1 a 0.000 2.000"


def test_trn_and_tsv():
    assert render("trn") == 'one two three fo"ur (x/a%20b)'
    assert render("trn", EMPTY, "a") == "(a)"
    rows = [line.split("\t") for line in render("tsv").splitlines()]
    assert rows[0] == ["start", "end", "word", "confidence"]
    assert rows[2] == ["0.400", "0.750", "two", "0.800"]


def test_quotes_in_a_tsv_are_characters_of_words():
    texts = ['"yes', "and", 'left"', '"', 'fo"ur', "'s"]
    odd = Transcript(" ".join(texts), 9.0, tuple(Word(t, n, n + 1) for n, t in enumerate(texts)))
    rows = list(csv.reader(render("tsv", odd).splitlines(), delimiter="\t"))
    assert [row[2] for row in rows[1:]] == texts
    assert {len(row) for row in rows} == {4}


SPECIAL = [
    "{b", "{a/b}", "}", "<laughs>", "<ALT>", "<alt_end>", "@", ";)", "wait;", "no*", "**b",
    "(quietly)", r"c:\new", "5%", "%7B", "%7b", "%3C", "%25", "plain", "<unk>",
]  # fmt: skip


@given(st.lists(st.sampled_from(SPECIAL), min_size=1, max_size=8), st.booleans())
def test_words_that_are_special_to_sctk_are_read_back(tmp_path_factory, texts, ignore_case):
    words = [Word(text, 2.0 * n, 2.0 * n + 1, 0.5) for n, text in enumerate(texts)]
    odd = Transcript(" ".join(texts), 20.0, tuple(words))
    folder = tmp_path_factory.mktemp("nist")
    for name in ("ctm", "stm", "trn"):
        (folder / f"a.{name}").write_text(render(name, odd, ";b") + "\n")
    expected = [text.lower() if ignore_case else text for text in texts]
    for reference, hypothesis in [("ctm", "ctm"), ("stm", "ctm"), ("trn", "trn")]:
        files = (folder / f"a.{reference}", folder / f"a.{hypothesis}")
        found = read_matched(*files, ignore_case=ignore_case)
        for side in (found.references, found.hypotheses[0]):
            assert [word for graph in side for word in graph.words] == expected
            assert all(graph.plain for graph in side)


def test_words_that_are_not_special_are_written_as_they_are():
    """Such as <unk>, which a reference has, too."""
    words = [Word("<unk>", 0.0, 1.0), Word("(a", 1.0, 2.0), Word("*", 2.0, 3.0)]
    odd = Transcript("<unk> (a *", 3.0, tuple(words))
    assert [line.split()[4] for line in render("ctm", odd).splitlines()] == ["<unk>", "(a", "*"]
    assert render("trn", odd, "x") == "<unk> (a * (x)"


def test_a_textgrid_is_read_by_praatio(tmp_path):
    (tmp_path / "a.TextGrid").write_text(render("textgrid") + "\n")
    grid = textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    found = [(i.label, i.start, i.end) for i in grid.getTier("words").entries]
    assert found == [(w.text, w.start, w.end) for w in WORDS]
    assert [float(i.label) for i in grid.getTier("confidence").entries] == [0.9, 0.8, 0.7, 1.0]
    assert grid.maxTimestamp == 4.0
    (tmp_path / "e.TextGrid").write_text(render("textgrid", EMPTY) + "\n")
    empty = textgrid.openTextgrid(str(tmp_path / "e.TextGrid"), includeEmptyIntervals=True)
    assert [(i.label, i.start, i.end) for i in empty.getTier("words").entries] == [("", 0, 2)]
    (tmp_path / "e.TextGrid").write_text(render("textgrid", Transcript("", 0.0)) + "\n")
    grid = textgrid.openTextgrid(str(tmp_path / "e.TextGrid"), includeEmptyIntervals=True)
    assert grid.maxTimestamp > grid.minTimestamp  # Praat refuses others


@pytest.mark.skipif(shutil.which("praat") is None, reason="needs Praat")
def test_a_textgrid_is_read_by_praat(tmp_path):
    (tmp_path / "a.TextGrid").write_text(render("textgrid") + "\n")
    script = tmp_path / "read.praat"
    script.write_text(
        f'Read from file: "{tmp_path}/a.TextGrid"\nn = Get number of intervals: 1\n'
        "label$ = Get label of interval: 1, 3\nwriteInfoLine: n, label$\n"
    )
    done = subprocess.run(["praat", "--run", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8two"]


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_are_read_back(kind):
    text = render(kind)
    found = [(e.start, e.end, e.plaintext) for e in pysubs2.SSAFile.from_string(text)]
    cues = make_cues(WORDS, 4.0)
    assert [(start / 1000, end / 1000) for start, end, _ in found] == [
        (c.start, c.end) for c in cues
    ]
    assert " ".join(plain for *_, plain in found).split() == TRANSCRIPT.text.split()
    assert pysubs2.SSAFile.from_string(render(kind, EMPTY), format_=kind).events == []


def test_marks_of_subtitle_formats_are_words(tmp_path):
    odd = Transcript("<b> & {c}", 3.0, (Word("<b>", 0, 1), Word("&", 1, 2), Word("{c}", 2, 3)))
    assert "&lt;b&gt; &amp; (c)" in render("vtt", odd)
    assert "<b> & (c)" in render("srt", odd)


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_backslashes_of_words_are_kept(kind):
    texts = ["c:\\new", "\\Nice", "\\hello", "\\", "a\\"]
    odd = Transcript(" ".join(texts), 5.0, tuple(Word(t, n, n + 1) for n, t in enumerate(texts)))
    assert render(kind, odd).splitlines()[-1] == " ".join(texts)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg")
@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_subtitles_are_read_by_ffmpeg(kind, tmp_path):
    (tmp_path / f"a.{kind}").write_text(render(kind) + "\n")
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / f"a.{kind}", tmp_path / "b.srt"]
    assert subprocess.run(command, capture_output=True).stderr == b""
    ours = pysubs2.SSAFile.from_string(render(kind))
    theirs = pysubs2.load(str(tmp_path / "b.srt"))
    assert [(e.start, e.end, e.plaintext) for e in theirs] == [
        (e.start, e.end, e.plaintext) for e in ours
    ]


LENGTHS = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0.02, 9), st.integers(1, 60)), min_size=1, max_size=40
)


@given(LENGTHS)
def test_cues_have_every_word_and_do_not_overlap(parts):
    words, time = [], 0.0
    for gap, length, characters in parts:
        words.append(Word("x" * characters, time + gap, time + gap + length))
        time += gap + length
    cues = make_cues(words, time + 1)
    shown = "".join("".join(cue.text.split()) for cue in cues)
    assert shown == "".join(word.text for word in words)
    for cue, after in zip(cues, [*cues[1:], None], strict=True):
        assert 0 < cue.end - cue.start <= MOST + 1e-9
        assert after is None or cue.end <= after.start
        assert max(map(len, cue.text.splitlines())) <= COLUMNS
        assert len(cue.text.splitlines()) <= LINES
        if after is not None and len(cue.text) < COLUMNS / 2 and cue.end < after.start:
            assert cue.end - cue.start >= LEAST - 1e-9


@given(st.integers(7, 300), st.floats(0.5, 40))
def test_a_sentence_without_spaces_is_shown_while_it_is_spoken(characters, seconds):
    text = "".join(chr(0x4E00 + place) for place in range(characters))
    cues = make_cues([Word(text, 1.0, 1.0 + seconds)], seconds + 2)
    assert "".join("".join(cue.text.split("\n")) for cue in cues) == text
    assert all(len(cue.text.split("\n")) <= LINES for cue in cues)
    assert max(len(line) for cue in cues for line in cue.text.split("\n")) <= COLUMNS
    assert all(0 < cue.end - cue.start <= MOST + 1e-9 for cue in cues)
    assert sum(cue.end - cue.start for cue in cues) >= seconds - 1e-6


def test_a_cue_ends_at_a_pause_or_at_the_longest_gap():
    times = [0.0, 1.0, 2.0, 3.0, 4.3, 5.0, 6.0, 7.0, 8.0, 9.5, 10.5]
    words = [Word("w", time, time + 0.8) for time in times]
    cues = make_cues(words, 12.0)
    assert [len(cue.text.split()) for cue in cues] == [4, 5, 2]  # a gap of 0.5 s; a pause of 0.7 s
