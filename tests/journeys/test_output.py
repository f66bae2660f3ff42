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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("worst", ["1", "2000"])  # less and more than a buffer
@pytest.mark.parametrize("debug", [["--debug"], []])
def test_a_full_disk_is_one_line(pair, worst, debug):
    command = [SPEECHGRU, *debug, "score", *pair, "--worst", worst]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    *before, error = done.stderr.splitlines()
    assert error == "speechgru: standard output: cannot be written: No space left on device"
    assert bool(before) == bool(debug)


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
