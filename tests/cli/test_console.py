"""What commands print: whole lines, no styles in a pipe, names unchanged by markup."""

import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from speechgru.cli import console, evaluate, prepare, train, transcribe
from speechgru.corpora import SummaryRow
from speechgru.decoding import Transcript
from speechgru.errors import AudioError
from speechgru.evaluation import Evaluation
from speechgru.formats import FORMATS
from speechgru.scoring import score
from speechgru.training.loop import TrainingProgress, TrainingResult
from speechgru.transcription import Outcome

TXT, JSON = FORMATS["txt"], FORMATS["json"]


# Shared -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dev_wer", "eta", "parts"),
    [(1.2345, 36000.0, ["  best WER 123.4%", "10:00:00 left"]), (None, 61.0, ["1:01 left"])],
)
def test_the_training_bar_fits_an_ordinary_terminal(monkeypatch, dev_wer, eta, parts):
    drawn = io.StringIO()  # a terminal wide enough to wrap nothing
    wide = Console(file=drawn, force_terminal=True, color_system=None, width=200, highlight=False)
    monkeypatch.setattr(console, "err", wide)
    with console.training_progress() as show:
        show(TrainingProgress(100, 120, 98765, 123456, 12.3456, dev_wer, 1234.5, eta))
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "\n", drawn.getvalue())
    lines = [line.strip("\r") for line in plain.split("\n") if "epoch" in line]
    for part in ("epoch 100/120", "loss 12.35", "1234× real time", *parts):
        assert part in lines[-1]
    assert ("WER" in lines[-1]) == (dev_wer is not None)
    assert len(lines[-1].rstrip()) <= 80


def test_no_bar_without_a_terminal(capsys):
    with console.training_progress() as show:
        show(TrainingProgress(1, 2, 3, 4, 0.5, None, 6.0, 7.0))
    with console.counting_progress() as show_count:
        show_count(1, 2, "gru")
    assert capsys.readouterr() == ("", "")


PRINT_BESIDE_A_BAR = """
from speechgru.cli import console
with console.counting_progress() as show:
    show(1, 2, "first")
    print("a line")
    console.warn("a warning")
    show(2, 2, "second")
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_lines_printed_beside_a_bar_stay_on_standard_output():
    """Standard error is a terminal, standard output a file: rich would move the line to the
    former."""
    leader, follower = os.openpty()
    done = subprocess.run(
        [sys.executable, "-c", PRINT_BESIDE_A_BAR],
        stdout=subprocess.PIPE, stderr=follower, env={**os.environ, "TERM": "xterm"}, check=True,
    )  # fmt: skip
    os.close(follower)
    drawn = os.read(leader, 100_000).decode()
    os.close(leader)
    assert done.stdout == b"a line\n"
    for part in ("2 of 2", "second", "a warning"):
        assert part in drawn


def test_log_lines_are_whole_and_unstyled(capsys):
    text = "skipped 2 [bold]long[/bold]: " + "a" * 200
    record = logging.LogRecord("speechgru", logging.WARNING, "", 0, "%s", (text,), None)
    console.LogHandler().emit(record)
    console.warn(text)
    assert capsys.readouterr().err == f"{text}\n{text}\n"


def test_a_wide_table_is_not_cut_at_80_columns(capsys):
    table = Table("name", "value", "note")
    table.add_row("a" * 60, "b" * 60, "c" * 20)
    console.print_wide(table)
    row = next(line for line in capsys.readouterr().out.splitlines() if "aaa" in line)
    assert (row.count("a"), row.count("b"), row.count("c")) == (60, 60, 20)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "0:03"), (59.6, "1:00"), (3599.9, "1:00:00"), (90061, "25:01:01")]
)
def test_clock(seconds, text):
    assert console.clock(seconds) == text


# Commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.wav", "[red]x[/red].wav", "a" * 100 + ".wav", "new\nline.wav"])
def test_a_transcript_is_one_line_on_standard_output(name, capsys):
    transcribe.show_outcome(Outcome(Path(name), output="one [two]"), TXT)
    escaped = name.replace("\n", "\\n")
    assert capsys.readouterr() == (f"{escaped}: one [two]\n", "")


def test_an_error_is_one_line_on_standard_error(capsys):
    transcribe.show_outcome(Outcome(Path("a"), error=AudioError("a: [red]bad")), TXT)
    assert capsys.readouterr() == ("", "speechgru: a: [red]bad\n")


def test_colons_do_not_become_emoji(capsys):
    transcribe.show_outcome(Outcome(Path(":100:.wav"), output=":cat:"), TXT)
    transcribe.show_outcome(Outcome(Path("a"), error=AudioError("a:100:b")), TXT)
    prepare.show_corpus(":100:", [SummaryRow(":cat:", 1, 1.0, 1, (8000,), "")], [], [])
    out, err = capsys.readouterr()
    assert ":100:.wav: :cat:\n" in out
    assert err == "speechgru: a:100:b\n"
    assert (out.count(":100:"), out.count(":cat:")) == (2, 2)


def test_brackets_in_a_table_are_no_markup(capsys):
    prepare.show_corpus("[/i]", [SummaryRow("[b]", 1, 1.0, 1, (8000,), "[/]")], [], [])
    out = capsys.readouterr().out
    assert all(text in out for text in ("[/i]", "[b]", "[/]"))


def test_json_is_printed_as_it_is(capsys):
    line = '{"file": "a.wav", "text": "' + "one " * 40 + '"}'
    transcribe.show_outcome(Outcome(Path("a.wav"), output=line), JSON)
    assert capsys.readouterr().out == f"{line}\n"


def test_no_line_for_a_recording_without_words_in_a_list_of_words(capsys):
    transcribe.show_outcome(Outcome(Path("a.wav"), output=""), FORMATS["ctm"])
    assert capsys.readouterr().out == ""
    transcribe.show_outcome(Outcome(Path("a.wav"), output=""), TXT)
    assert capsys.readouterr().out == "a.wav: \n"


def test_a_text_that_looks_like_json_is_a_text(capsys):
    transcribe.show_outcome(Outcome(Path("a.wav"), output="{one}"), TXT)
    assert capsys.readouterr().out == "a.wav: {one}\n"


def test_a_written_file_is_named(capsys):
    transcribe.show_outcome(Outcome(Path("a.wav"), written=(Path("o/a.json"), Path("b"))), JSON)
    assert capsys.readouterr().out == "a.wav → o/a.json, b\n"


def test_the_reason_of_an_empty_text_is_shown(capsys):
    silent = Transcript("", 1.0, reason="silent")
    transcribe.show_outcome(Outcome(Path("a.wav"), silent), TXT)
    assert capsys.readouterr() == ("a.wav: \n", "a.wav: no text: silent\n")


def test_the_table_of_a_corpus(capsys):
    row = SummaryRow("train", 1234, 1.5, 7, (8000, 16000), " abü[" + "x" * 50 + "yz")
    file = Path("data/an4/train.jsonl")
    prepare.show_corpus("an4", [row], [file], ["u1: no audio"])
    out, err = capsys.readouterr()
    for part in ("train", "1,234", "1.50", "7", "8000, 16000", " abü[", str(file)):
        assert part in out
    assert out.count("x") == 50  # however long the list is
    assert err.startswith("u1: no audio\n1 ")


def test_an_evaluation(capsys):
    scored = score(["one two", "six"], ["one too", "six"], ["a", "b"], ["x", "y"])
    evaluate.show_evaluation(Evaluation(scored, "greedy", {"é": 2}, {"c": "no"}, "lower case"), 5)
    out, err = capsys.readouterr()
    for part in ("WER 33.33 %", "1 error in 3 words: 1 substitution, 0 deletions", "lower case"):
        assert part in out
    assert "HYP: one too" in out
    assert "REF: six" not in out
    assert "'é' ×2" in err
    assert "c: no" in err


def test_the_end_of_a_training(capsys):
    train.show_training(TrainingResult(Path("runs/a"), 0.1234, 0.05, "epoch 7", 9, 61.0, False))
    out = capsys.readouterr().out
    for part in ("12.34", "9 epochs", "1:01", "runs/a"):
        assert part in out
    train.show_training(TrainingResult(Path("runs/a"), 0.1234, 0.05, "epoch 0", 9, 61.0, False))
    assert "initial model, which is kept" in capsys.readouterr().err
    train.show_training(TrainingResult(Path("runs/a"), 0.1234, 0.05, "epoch 7", 9, 61.0, True))
    out, err = capsys.readouterr()
    assert out == ""
    assert "9 epochs" in err
    assert "--resume" in err
