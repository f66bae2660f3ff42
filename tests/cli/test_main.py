"""The command line: its help, its exit statuses, and how it tells what went wrong."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from tones import recipe_values
from typer.main import get_command

from speechgru.cli import app
from speechgru.files import write_json
from speechgru.manifest import read_manifest, write_manifest


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included: ("probe",), ("probe", "gates"), …"""

    def below(group: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in getattr(group, "commands", {}).items():
            yield (*words, name)
            yield from below(command, (*words, name))

    yield from below(get_command(app), ())


COMMANDS = sorted(commands())
every_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


def command_of(words: tuple[str, ...]) -> click.Command:
    found = get_command(app)
    for word in words:
        found = found.commands[word]  # type: ignore[attr-defined]
    return found  # type: ignore[return-value]


# Help --------------------------------------------------------------------------------------------


def test_the_commands_users_were_promised_are_there():
    promised = {"prepare", "train", "evaluate", "score", "transcribe", "compare", "info"}
    assert promised <= {words[0] for words in COMMANDS}


@every_command
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_explains_and_gives_an_example(words, flag, speechgru):
    said = speechgru(*words, flag)
    assert (said.status, said.err) == (0, "")
    order = "speechgru " + " ".join(words)
    assert f"Usage: {order} " in said.out
    command = command_of(words)
    assert command.help
    if not hasattr(command, "commands"):
        assert f"Example: {order} " in " ".join(said.out.split())


@every_command
def test_every_option_is_explained(words):
    for parameter in command_of(words).params:
        assert getattr(parameter, "help", None), parameter.name


def test_the_version_is_told(speechgru):
    said = speechgru("--version")
    assert (said.status, said.out.split()[0]) == (0, "speechgru")
    assert said.out.split()[1][0].isdigit()


def test_without_a_command_the_help_is_shown(speechgru):
    said = speechgru()
    assert said.status == 2
    assert "transcribe" in said.out + said.err


# Wrong usage --------------------------------------------------------------------------------------


@every_command
def test_a_wrong_flag_is_named_with_status_2(words, speechgru):
    said = speechgru(*words, "--flagg")
    assert said.status == 2
    assert "--flagg" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("prepare",),
        ("train",),
        ("train", "recipes/digits"),
        ("evaluate", "a.jsonl"),
        ("score", "ref.trn"),
        ("transcribe", "a.wav"),
        ("transcribe", "--model", "runs/a"),
        ("compare", "recipes/digits"),
        ("info",),
        ("evaluate", "a.jsonl", "--model", "runs/a", "--worst", "-1"),
        ("train", "recipes/digits", "--out", "runs/a", "--threads", "two"),
    ],
)
def test_what_is_missing_or_misshapen_is_status_2(words, speechgru):
    said = speechgru(*words)
    assert said.status == 2
    assert said.out == ""
    assert "Usage: speechgru" in said.err


# Wrong input --------------------------------------------------------------------------------------

WRONG = [
    # the words, and what the one line must hold: what was found, what to do
    (("prepare", "tidigits"), ["'tidigits'", "digits, fsdd, an4, librispeech"]),
    (("prepare", "an4"), ["an4", "--source DIR"]),
    (("prepare", "an4", "--source", "nowhere"), ["nowhere", "etc/ and wav/"]),
    (("train", "recipes/digit", "--out", "o"), ["recipes/digit", "an4, digits, fsdd"]),
    (
        ("train", "RECIPE", "model.hidden_siz=3", "--out", "o"),
        ["'model.hidden_siz=3'", "'model.hidden_size'"],
    ),
    (("train", "RECIPE", "model.cell=grru", "--out", "o"), ["'grru'", "gru, lstm"]),
    (("train", "RECIPE", "model.hidden_size=wide", "--out", "o"), ["model.hidden_size", "'wide'"]),
    (("train", "RECIPE", "training.schedule=x", "--out", "o"), ["one-cycle", "cosine", "'x'"]),
    (("train", "RECIPE", "data.dev=no.jsonl", "--out", "o"), ["no.jsonl", "data.dev=PATH"]),
    (("train", "RECIPE", "--device", "tpu", "--out", "o"), ["'tpu'", "auto, cpu, cuda"]),
    (("train", "RECIPE", "--device", "cuda:99", "--out", "o"), ["'cuda:99'", "--device cpu"]),
    (("train", "RECIPE", "--out", "TEXT"), ["TEXT", "expected a folder"]),
    (("train", "RECIPE", "--out", "RUN"), ["RUN", "--resume", "--out"]),
    (("train", "RECIPE", "--out", "o", "--resume"), ["o", "no run to resume"]),
    (("evaluate", "no.jsonl", "--model", "RUN"), ["no.jsonl", "speechgru prepare"]),
    (("evaluate", "TEXT", "--model", "RUN"), ["TEXT:1", "not JSON", "audio_filepath"]),
    (("evaluate", "DEV", "--model", "nowhere"), ["nowhere", "run folder"]),
    (("evaluate", "DEV", "--model", "TEXT"), ["TEXT", "checkpoint"]),
    (("evaluate", "DEV", "--model", "RUN", "--precision", "int3"), ["'int3'", "float32"]),
    (("evaluate", "DEV", "--model", "RUN", "--device", "x"), ["'x'", "auto, cpu, cuda"]),
    (("evaluate", "DEV", "--model", "RUN", "--out", "TEXT"), ["TEXT/ref.trn", "cannot be written"]),
    (("evaluate", "DEV", "--model", "RUN", "--json", "RUN"), ["RUN", "cannot be written"]),
    (("score", "no.trn", "TEXT"), ["no.trn", "cannot be read"]),
    (("score", "TEXT", "TEXT", "--json", "RUN"), ["RUN", "cannot be written"]),
    (("transcribe", "DEV", "--model", "RUN", "--format", "srt"), ["'srt'", "txt, json"]),
    (("transcribe", "DEV", "--model", "nowhere"), ["nowhere", "run folder"]),
    (("transcribe", "DEV", "--model", "RUN", "--precision", "int3"), ["'int3'", "float32"]),
    (("compare", "--out", "o"), ["recipes/NAME", "--report-only"]),
    (("info", "nowhere"), ["nowhere", "an4, digits, fsdd"]),
    (("info", "RUN", "model.hidden_size=3"), ["model.hidden_size=3", "trained model"]),
]


@pytest.fixture
def places(tones: Path, tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what WRONG speaks of."""
    (tmp_path / "TEXT").write_text("a line of text\n")
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "RUN").symlink_to(tone_run)
    (tmp_path / "DEV").symlink_to(tones / "dev.jsonl")
    write_json(tmp_path / "RECIPE", recipe_values(tones))  # JSON is YAML
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("words", "named"), WRONG, ids=lambda part: " ".join(part)[:40])
def test_wrong_input_is_told_in_one_line_with_status_2(words, named, speechgru, places):
    said = speechgru(*words)
    assert said.status == 2
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("speechgru: ")
    for part in named:
        assert part in lines[0]
    assert sorted(path.name for path in places.iterdir()) == [
        "DEV", "EMPTY", "RECIPE", "RUN", "TEXT"
    ]  # fmt: skip


def test_a_corpus_with_utterances_missing_is_prepared_with_status_1(speechgru, tones, tmp_path):
    for split in ("train", "dev", "test"):
        utterances = read_manifest(tones / f"{split}.jsonl")
        gone = replace(utterances[0], audio=tmp_path / "gone.wav")
        write_manifest(tmp_path / "in" / f"{split}.jsonl", [*utterances[1:], gone])
    order = ("prepare", "digits", "--source", tmp_path / "in", "--out")
    said = speechgru(*order, tmp_path / "out")
    assert said.status == 1
    assert said.err.splitlines() == [f"{tmp_path}/gone.wav: no such file; check the path"] * 3 + [
        "3 left out"
    ]
    assert len(read_manifest(tmp_path / "out/dev.jsonl")) == 7
    assert speechgru(*order, tmp_path / "in").status == 1
    assert len(read_manifest(tmp_path / "in/dev.jsonl")) == 8


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "DEV", "--model", "RUN", "--device", "cpu", "--out", "TEXT"),
        ("score", "TEXT", "TEXT", "--json", "RUN"),
        ("significance", "LINES", "LINES", "LINES", "--json", "RUN"),
    ],
    ids=" ".join,
)
def test_figures_are_shown_even_when_they_cannot_be_written(words, speechgru, places):
    (places / "LINES").write_text("one two\nthree four\n" * 9)
    said = speechgru(*words)
    assert said.status == 2
    assert "cannot be written" in said.err
    assert "WER " in said.out


def test_two_corpora_s_tests_are_both_kept(speechgru, tone_run, tones, tmp_path):
    shutil.copy(tone_run / "model.safetensors", tmp_path)
    for name, split in (("one", "dev"), ("two", "test")):
        write_manifest(tmp_path / name / "test.jsonl", read_manifest(tones / f"{split}.jsonl"))
        order = ("evaluate", tmp_path / name / "test.jsonl", "--model", tmp_path, "--device", "cpu")
        assert speechgru(*order).status == 0
    counts = [
        len((tmp_path / "results" / name / "ref.trn").read_text().splitlines())
        for name in ("test", "two-test")
    ]
    assert counts == [8, 12]


def test_a_folder_without_sound_is_a_file_s_fault_and_the_rest_is_done(speechgru, places, tones):
    (places / "here.wav").symlink_to(next((tones / "dev").iterdir()))
    order = ("transcribe", "here.wav", "EMPTY", "--model", "RUN", "-o", "texts", "--device", "cpu")
    said = speechgru(*order)
    assert (said.status, said.out) == (1, "here.wav → texts/here.txt\n")
    fault, count = said.err.splitlines()
    assert fault.startswith("speechgru: EMPTY: no sound file in this folder")
    assert count == "1 of 2 without a new text: the lines above say why"
    assert "here.txt: there is such a file already; --force" in speechgru(*order).err
    assert speechgru(*order, "--force").out == said.out


@pytest.mark.parametrize("debug", [["--debug"], []])
def test_debug_shows_the_traceback_and_keeps_the_status(debug, speechgru):
    said = speechgru(*debug, "info", "nowhere")
    assert said.status == 2
    assert ("Traceback" in said.err) == bool(debug)
    assert ("in _find" in said.err) == bool(debug)
    assert said.err.splitlines()[-1].startswith("speechgru: no recipe at nowhere")


def test_a_bug_keeps_its_traceback(speechgru, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("speechgru.info.describe", broken)
    with pytest.raises(ZeroDivisionError):
        speechgru("info", "recipes/digits")


@pytest.mark.parametrize("debug", [["--debug"], []])
def test_ctrl_c_anywhere_is_status_130(debug, speechgru, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("speechgru.corpora.prepare", interrupted)
    said = speechgru(*debug, "prepare", "digits")
    assert (said.status, said.out) == (130, "")
    assert said.err.splitlines()[-1] == "speechgru: interrupted"
    assert ("Traceback" in said.err) == bool(debug)


def test_scoring_tells_its_rule_and_what_looks_like_ids(speechgru, tmp_path):
    (tmp_path / "kaldi").write_text("utt1 a b\nutt2 c\n")
    said = speechgru("score", tmp_path / "kaldi", tmp_path / "kaldi")
    assert said.status == 0
    assert said.out.splitlines()[-1] == (
        "both sides normalised: Unicode NFC, white space collapsed; letter case and punctuation "
        "count"
    )
    assert "utt1, utt2" in said.err
