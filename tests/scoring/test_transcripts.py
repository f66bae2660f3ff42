"""Reading pairs of files in any format, matched by id, line or time."""

from pathlib import Path

import pytest

from speechgru.errors import ScoringError
from speechgru.scoring import read_matched, score_files

TEXTS = {"s1-u1": "one two three", "s1-u2": "four five", "s2-u1": "six", "s2-u2": "zero one two"}
NAMES = dict(zip(("anna", "bert", "carl", "dora"), TEXTS.values(), strict=True))


def kaldi(texts: dict[str, str]) -> str:
    return "".join(f"{id_} {text}\n" for id_, text in texts.items())


def trn(texts: dict[str, str]) -> str:
    return "".join(f"{text} ({id_})\n" for id_, text in texts.items())


def turned(texts: dict[str, str]) -> dict[str, str]:
    return dict(reversed(texts.items()))


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


WRONG = TEXTS | {"s2-u2": "zero one too"}
WORDS = {f"{w} it": "now" for w in ("open", "close", "stop", "start", "go")}
CTM = "r A 0.1 0.2 uh\nr A 0.3 0.2 huh 0.9\n"
STM = "r A s 0.0 1.0 uh huh\nr A s 1.0 2.5\n"


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected", "words"),
    [
        (kaldi(TEXTS), kaldi(WRONG), "Kaldi text", 9),
        (kaldi(TEXTS), kaldi(turned(WRONG)), "Kaldi text", 9),
        (kaldi(NAMES), kaldi(turned(NAMES)), "Kaldi text", 9),
        (kaldi(TEXTS).replace(" ", "\t", 1), kaldi(dict.fromkeys(TEXTS, "")), "Kaldi text", 9),
        (kaldi(TEXTS) + "\n\n", kaldi(turned(WRONG)) + "\n", "Kaldi text", 9),
        (kaldi(NAMES) + "\n", kaldi(turned(NAMES)), "Kaldi text", 9),
        (kaldi(TEXTS).replace("\n", "\n\n"), kaldi(turned(WRONG)), "Kaldi text", 9),
        (trn(TEXTS), trn(turned(WRONG)), "trn", 9),
        (trn(TEXTS), kaldi(turned(WRONG)), "trn and Kaldi text", 9),
        (kaldi(turned(TEXTS)), trn(WRONG), "Kaldi text and trn", 9),
        ("hello world\nyes\n", "hello\nyes\n", "plain text", 3),
        ("utt1 a\nutt1 b\n", "utt1 a\nutt1 b\n", "plain text", 4),  # not unique
        ("utt1 a\nutt2 b\n", "utt1 a\n2 b\n", "plain text", 4),
        ("open it\nclose\n", "close it\nopen\n", "plain text", 3),
        ("\n2 b\n", "\n2 b\n", "plain text", 2),
        ("a\n\nc\n\n", "a\nb\nc\n", "plain text", 2),  # a blank line at the end of one file
        ("a\nc\n", "a\nc\n\n \n", "plain text", 2),
        ("a\nc\n\n", "a\nc\nd\n", "plain text", 2),  # an utterance without words
        ("one\ntwo\nthree\n", "two\none\nthree\n", "plain text", 3),
        (CTM, CTM, "ctm", 2),
        (STM, CTM, "stm and ctm", 2),
        (";; c\n" + STM, "; c\n\n" + CTM, "stm and ctm", 2),
    ],
)
def test_formats_are_recognised(tmp_path, reference, hypothesis, expected, words):
    files = write(tmp_path, "ref", reference), write(tmp_path, "hyp.txt", hypothesis)
    assert read_matched(*files).read_as.endswith(f"read as {expected}")
    assert score_files(*files).words.reference == words


@pytest.mark.parametrize(
    ("reference", "hypothesis", "named"),
    [
        # ids, or the first words of commands?
        (kaldi(WORDS), kaldi(WORDS), ["open, close, stop", "--format kaldi", "--format plain"]),
        ("utt1 a\n", "utt1 b\n", ["utt1", "--format"]),
        ("r A 0.1 0.2 3.0\n", CTM, ["ref", "stm or ctm", "--format"]),
        (STM, trn(TEXTS), ["hyp", "trn", "stm"]),
        (CTM, "one two\n", ["hyp", "text", "ctm"]),
        (trn(TEXTS), CTM, ["hyp", "ctm", "trn"]),
        (trn(TEXTS), STM, ["hyp", "stm", "trn"]),
        (trn(TEXTS), "one\ntwo\nthree\nfour\n", ["hyp", "plain text", "trn"]),
        # by its right name, rather than as plain text
        ('{"audio_filepath": "a.wav"}\n', "a\n", ["ref", "JSON"]),
        ("one\n", "1\n00:00:01,000 --> 00:00:02,000\none\n", ["hyp", "subtitles"]),
        ("one\n", "WEBVTT\n\n", ["hyp", "subtitles"]),
        ("one\n", "SPEAKER r 1 0.1 0.2 <NA> <NA> s <NA>\n", ["hyp", "rttm"]),
        ("id,text\na,one\n", "one\n", ["ref", "table"]),
        ("file\ttext\na.wav\tone\n", "one\n", ["ref", "table"]),
        ("audio,text\na.wav,one\n", "one\n", ["ref", "table"]),
        # ids that would count as words
        ("a b (spk 1)\nc (spk 2)\n", "a b (spk 1)\nc (spk 2)\n", ["ref", "trn", "ids"]),
        ("a b (s(1)-u1)\n", "a b (s(1)-u1)\n", ["ref", "trn", "ids"]),
        ("u1 a b\nu2 c\n", "u1.wav a b\nu2.wav c\n", ["hyp", "u1.wav", "there: 'u1'"]),
        ("u1 a b\nu2 c\n", "x/U1.flac a b\nx/U2.flac c\n", ["hyp", "x/U1.flac"]),
        ("u1 a\nu1 b\nu2 c\n", "u1 a\nu1 b\nu2 c\n", ["line 2", "twice"]),
        ("one\n", "#!MLF!#\n", ["hyp", "HTK"]),
        # ids
        (kaldi(TEXTS), kaldi(dict(list(TEXTS.items())[:3])), ["1 of 4", "(s2-u2)"]),
        (trn(TEXTS), trn({k.upper(): v for k, v in TEXTS.items()}), ["4 of 4", "--ignore-case"]),
        (STM, CTM.replace("A", "B"), ["1 of 1", "(r B; there: r A)"]),
        (STM, CTM.replace("A", "a"), ["r a", "--ignore-case"]),
        (trn(TEXTS) * 2, trn(TEXTS), ["line 5", "4 of 4", "(s1-u1, s1-u2, s2-u1 and 1 more)"]),
        ("one\ntwo\n", "one\n", ["1 of 2", "number of lines"]),
    ],
)  # fmt: skip
def test_what_is_unclear_or_does_not_match_is_refused(tmp_path, reference, hypothesis, named):
    files = write(tmp_path, "ref", reference), write(tmp_path, "hyp", hypothesis)
    with pytest.raises(ScoringError) as caught:
        score_files(*files)
    assert "\n" not in str(caught.value)
    for part in named:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("WEBVTT\n\n00:01.000 --> 00:02.000\none\n", "subtitles"),
        ("SPEAKER r 1 0.1 0.2 <NA> <NA> s <NA>\n", "rttm"),
        ("<!DOCTYPE x>\n", "XML"),
        ('File type = "ooTextFile"\nObject class = "TextGrid"\n', "TextGrid"),
        ("#!MLF!#\n", "HTK"),
    ],
)
@pytest.mark.parametrize("ignore_case", [False, True])
def test_another_format_is_recognised_whatever_case_counts(tmp_path, content, named, ignore_case):
    file = write(tmp_path, "ref", content)
    with pytest.raises(ScoringError, match=named):
        score_files(file, file, ignore_case=ignore_case)


def test_a_text_is_no_other_format_where_case_does_not_count(tmp_path):
    file = write(tmp_path, "ref", "speaker one is here now\n")
    assert score_files(file, file, ignore_case=True).wer == 0


@pytest.mark.parametrize(
    ("format", "reference", "hypothesis", "words"),
    [
        ("plain", kaldi(WORDS), kaldi(WORDS), 15),
        ("kaldi", kaldi(WORDS), kaldi(WORDS), 10),
        ("plain", trn(TEXTS), trn(TEXTS), 13),
        ("plain", '{"a": 1}\n', "a\n", 2),
        ("stm", "r A s 0.1 2.0 3.0\n", CTM, 1),
        ("ctm", "r A 0.1 2.0 3.0\n", CTM, 1),
    ],
)
def test_a_format_can_be_forced(tmp_path, format, reference, hypothesis, words):
    files = write(tmp_path, "ref", reference), write(tmp_path, "hyp", hypothesis)
    assert score_files(*files, format=format).words.reference == words


def test_letter_case_is_ignored_on_demand(tmp_path):
    files = (
        write(tmp_path, "r.trn", "ONE two (S1-U1)\n"),
        write(tmp_path, "h.trn", "one Two (s1-u1)\n"),
    )
    with pytest.raises(ScoringError):
        score_files(*files)
    result = score_files(*files, ignore_case=True)
    assert (result.wer, result.utterances[0].reference) == (0, "one two")
    assert "letter case" not in read_matched(*files, ignore_case=True).read_as


def test_several_hypotheses_share_the_reference(tmp_path):
    files = [write(tmp_path, "ref", kaldi(TEXTS))]
    files += [write(tmp_path, str(n), text) for n, text in enumerate((kaldi(WRONG), trn(TEXTS)))]
    texts = read_matched(*files)
    assert texts.ids == tuple(TEXTS)
    assert texts.speakers == ("s1", "s1", "s2", "s2")
    assert [each[3].words[2] for each in texts.hypotheses] == ["too", "two"]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("a.ctm", "r A 0.1 0.2\n", "line 1"),
        ("a.ctm", "r A 0.1 x word\n", "line 1"),
        ("a.ctm", "r A * * word\n", "line 1"),
        ("a.ctm", "r A * * <ALT>\n", "line 1"),
        ("a.ctm", "r A * * <ALT_BEGIN>\nr A * * <ALT_BEGIN>\n", "line 2"),
        ("a.ctm", "r A * * <ALT_BEGIN>\nr A * * <ALT_END>\n", "line 2"),
        ("a.ctm", "r A * * <ALT_BEGIN>\nr A 0.1 0.2 a\n", "<ALT_END>"),
        ("a.ctm", "r A 0.1 0.2 ;tag\n", "line 1"),
        ("a.ctm", "r A 1e400 0.2 one\n", "line 1"),
        ("a.ctm", "r A 0.1 1e999 one\n", "line 1"),
    ],
)
def test_malformed_ctm_is_named(tmp_path, name, content, named):
    with pytest.raises(ScoringError, match=f"{name}.*{named}"):
        score_files(write(tmp_path, "ref.stm", STM), write(tmp_path, name, content))


@pytest.mark.parametrize(
    "content",
    ["r A s 0.1\n", "r A s 2.0 1.0 a\n", "r A s 0 1e999 a\n", "r A s 0 1 { a\n", "",
     ";; only a comment\n"],
)  # fmt: skip
def test_malformed_stm_is_named(tmp_path, content):
    with pytest.raises(ScoringError, match=r"ref\.stm"):
        score_files(write(tmp_path, "ref.stm", content), write(tmp_path, "h.ctm", CTM))


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"\x1f\x8b\x08", "gzip"), ("one\n".encode("utf-16"), "UTF-16"), (b"{\\rtf1 one}", "RTF"),
     (b"PK\x03\x04", "office"), (b"RIFF\x24\0\0\0WAVE", "audio")],
)  # fmt: skip
def test_what_is_no_text_is_refused_by_its_name(tmp_path, content, named):
    reference = write(tmp_path, "ref", "one\n")
    (tmp_path / "hyp").write_bytes(content)
    with pytest.raises(ScoringError, match=f"hyp: .*{named}"):
        score_files(reference, tmp_path / "hyp")


def test_lines_may_end_in_carriage_returns_alone(tmp_path):
    files = write(tmp_path, "ref", "one\rtwo\r"), write(tmp_path, "hyp", "one\ntwo\n")
    assert len(score_files(*files).utterances) == 2


@pytest.mark.parametrize(
    ("text", "words"), [("<o,f0,male> uh huh", 2), ("<> uh huh", 2), ("<uh huh", 2), ("<o,f0>", 0)]
)
def test_a_label_of_a_segment_is_no_word_but_a_word_may_begin_like_one(tmp_path, text, words):
    """In Buckwalter's transliteration of Arabic, < is a letter."""
    files = write(tmp_path, "r.stm", f"r A s 0 1 {text}\n"), write(tmp_path, "h.ctm", CTM)
    assert score_files(*files).words.reference == words


def test_unsorted_time_marks_are_sorted(tmp_path):
    words = "r A 0.1 0.2 uh\nr A 1.9 0.2 huh\n"
    files = write(tmp_path, "r.stm", STM), write(tmp_path, "h.ctm", words)
    mixed = write(tmp_path, "r2.stm", "".join(reversed(STM.splitlines(True))))
    other = write(tmp_path, "h2.ctm", "".join(reversed(words.splitlines(True))))
    assert score_files(mixed, other).words == score_files(*files).words


@pytest.mark.parametrize("text", ["utt1\thello world\naudio2\tgood day\n", "RIFF RAFF\nID3 TWO\n"])
def test_ids_and_words_like_the_beginnings_of_other_files_are_text(tmp_path, text):
    (tmp_path / "ref").write_text(text)
    assert read_matched(tmp_path / "ref", tmp_path / "ref")
