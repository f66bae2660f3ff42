"""Where output goes: a pipe that closes, a terminal without UTF-8, a log file."""

import os
import subprocess
from pathlib import Path

import pytest
from shell import SPEECHGRU


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A reference and a hypothesis whose alignments do not fit a pipe's buffer."""
    (tmp_path / "ref.txt").write_text("ein schöner tag 日本\n" * 2000, encoding="utf-8")
    (tmp_path / "hyp.txt").write_text("kein schöner zug\n" * 2000, encoding="utf-8")
    return tmp_path / "ref.txt", tmp_path / "hyp.txt"


def test_a_closed_pipe_ends_the_command_quietly(pair):
    reading, writing = os.pipe()
    os.close(reading)
    command = [SPEECHGRU, "score", *pair, "--worst", "2000"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""


def test_an_ascii_terminal_gets_escapes_not_a_traceback(pair):
    command = [SPEECHGRU, "score", *pair, "--worst", "1"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert rb"sch\xf6ner" in done.stdout
    assert done.stdout.isascii()


def test_piped_output_has_no_control_characters(speechgru, pair, monkeypatch, tmp_path):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for words in [
        ("prepare", "digits", "--out", tmp_path),
        ("score", *pair),
        ("info", "recipes/digits"),
        ("info", "nowhere"),
    ]:
        result = speechgru(*words)
        assert all(line.isprintable() for line in (result.out + result.err).split("\n"))
