"""What a person sees: lines that fit, colours only on a terminal, names that stay names."""

import io
import logging
import re
from pathlib import Path

import pytest
from rich.console import Console

from speechgru.cli import console, evaluate, prepare, train, transcribe
from speechgru.corpora import SummaryRow
from speechgru.decoding import Transcript
from speechgru.errors import AudioError
from speechgru.evaluation import Evaluation
from speechgru.scoring import score
from speechgru.training import Progress, Result
from speechgru.transcription import Outcome


@pytest.mark.parametrize(
    ("dev_wer", "eta", "parts"),
    [(1.2345, 36000.0, ["  best WER 123.4%", "10:00:00 left"]), (None, 61.0, ["1:01 left"])],
)
def test_a_training_s_line_fits_an_ordinary_terminal(monkeypatch, dev_wer, eta, parts):
    drawn = io.StringIO()  # a terminal wide enough to wrap nothing
    wide = Console(file=drawn, force_terminal=True, color_system=None, width=200, highlight=False)
    monkeypatch.setattr(console, "err", wide)
    with console.training_progress() as show:
        show(Progress(100, 120, 98765, 123456, 12.3456, dev_wer, 1234.5, eta))
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "\n", drawn.getvalue())
    lines = [line.strip("\r") for line in plain.split("\n") if "epoch" in line]
    for part in ("epoch 100/120", "loss 12.35", "1234× real time", *parts):
        assert part in lines[-1]
    assert ("WER" in lines[-1]) == (dev_wer is not None)
    assert len(lines[-1].rstrip()) <= 80


def test_nothing_is_drawn_when_nobody_watches(capsys):
    with console.training_progress() as show:
        show(Progress(1, 2, 3, 4, 0.5, None, 6.0, 7.0))
    with console.counting_progress() as show_probe:
        show_probe(1, 2, "gru")
    assert capsys.readouterr() == ("", "")


def test_log_lines_are_whole_and_unstyled(capsys):
    text = "left out 2 [bold]long[/bold]: " + "a" * 200
    record = logging.LogRecord("speechgru", logging.WARNING, "", 0, "%s", (text,), None)
    console.LogHandler().emit(record)
    console.warn(text)
    assert capsys.readouterr().err == f"{text}\n{text}\n"


@pytest.mark.parametrize("name", ["a.wav", "[red]x[/red].wav", "a" * 100 + ".wav", "new\nline.wav"])
def test_a_transcript_is_one_line_on_standard_output(name, capsys):
    transcribe.show_transcript(
        Outcome(Path(name), Transcript("one [two]", 1.0), None, None, "one [two]")
    )
    escaped = name.replace("\n", "\\n")
    assert capsys.readouterr() == (f"{escaped}: one [two]\n", "")


def test_a_fault_is_one_line_on_standard_error(capsys):
    transcribe.show_transcript(Outcome(Path("a"), None, AudioError("a: [red]bad"), None, ""))
    assert capsys.readouterr() == ("", "speechgru: a: [red]bad\n")


def test_colons_make_no_pictures(capsys):
    transcribe.show_transcript(Outcome(Path(":100:.wav"), Transcript("", 1.0), None, None, ":cat:"))
    transcribe.show_transcript(Outcome(Path("a"), None, AudioError("a:100:b"), None, ""))
    prepare.show_corpus(":100:", [SummaryRow(":cat:", 1, 1.0, 1, (8000,), "")], [], [])
    said, warned = capsys.readouterr()
    assert ":100:.wav: :cat:\n" in said
    assert warned == "speechgru: a:100:b\n"
    assert (said.count(":100:"), said.count(":cat:")) == (2, 2)


def test_json_is_itself_and_what_is_written_is_told(capsys):
    line = '{"file": "a.wav", "text": "' + "one " * 40 + '"}'
    transcribe.show_transcript(
        Outcome(Path("a.wav"), Transcript("", 1.0), None, None, line), "json"
    )
    transcribe.show_transcript(
        Outcome(Path("a.wav"), Transcript("", 1.0), None, Path("o/a.txt"), "")
    )
    assert capsys.readouterr().out == f"{line}\na.wav → o/a.txt\n"


def test_a_text_that_looks_like_json_is_a_text(capsys):
    """A model may write braces; its text has its file's name all the same."""
    transcribe.show_transcript(
        Outcome(Path("a.wav"), Transcript("{one}", 1.0), None, None, "{one}")
    )
    assert capsys.readouterr().out == "a.wav: {one}\n"


def test_a_corpus_s_table(capsys):
    row = SummaryRow("train", 1234, 1.5, 7, (8000, 16000), " abü[" + "x" * 50 + "yz")
    prepare.show_corpus("an4", [row], [Path("data/an4/train.jsonl")], ["u1: no audio"])
    said, warned = capsys.readouterr()
    for part in (
        "train",
        "1,234",
        "1.50",
        "7",
        "8000, 16000",
        " abü[",
        "wrote data/an4/train.jsonl",
    ):
        assert part in said
    assert said.count("x") == 50  # however long the list is
    assert warned == "u1: no audio\n1 left out\n"
    prepare.show_corpus("digits", [row], [], [])
    assert "where they were read from, and stay" in capsys.readouterr().out


def test_an_evaluation_in_words(capsys):
    scored = score(["one two", "six"], ["one too", "six"], ["a", "b"], ["x", "y"])
    evaluate.show_evaluation(Evaluation(scored, {"é": 2}, {"c": "no"}, "the rule"), 5)
    said, warned = capsys.readouterr()
    assert "WER 33.33%" in said
    assert "1 errors in 3 words: 1 substitutions, 0 deletions, 0 insertions" in said
    assert "HYP: one too" in said
    assert "REF: six" not in said
    assert "both sides normalised: the rule" in said
    assert "'é' ×2" in warned
    assert "not scored: c: no" in warned


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.4, "0:03"), (59.6, "1:00"), (3599.9, "1:00:00"), (90061, "25:01:01")]
)
def test_a_training_s_end(capsys, seconds, words):
    train.show_training(Result(Path("runs/a"), 0.1234, 0.05, 9, seconds, False))
    expected = f"dev WER 12.34% after 9 epochs in {words}; model in runs/a\n"
    assert capsys.readouterr().out == expected
    train.show_training(Result(Path("runs/a"), 0.1234, 0.05, 9, seconds, True))
    assert "after 9 epochs; the same command with --resume goes on" in capsys.readouterr().err
