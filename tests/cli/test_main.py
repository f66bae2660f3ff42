"""The command line: help, exit statuses, error messages."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from msgspec.structs import replace
from tones import recipe_values
from typer.main import get_command

from speechgru import scoring
from speechgru.checkpoint import load_model, save_model
from speechgru.cli import app
from speechgru.corpora import LAYOUTS
from speechgru.files import write_json
from speechgru.manifest import read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.recipe import TextRecipe


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""

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
    result = speechgru(*words, flag)
    assert (result.status, result.err) == (0, "")
    command_line = "speechgru " + " ".join(words)
    assert f"Usage: {command_line} " in result.out
    command = command_of(words)
    assert command.help
    if not hasattr(command, "commands"):
        assert f"Example: {command_line} " in " ".join(result.out.split())


@every_command
def test_every_option_is_explained_and_shown_in_full(words, speechgru, monkeypatch):
    """Markdown takes some texts, such as <unk>, for markup and drops them."""
    monkeypatch.setenv("COLUMNS", "200")  # no word is broken
    shown = re.sub(r"[\s│]", "", speechgru(*words, "--help").out)
    for parameter in command_of(words).params:
        assert getattr(parameter, "help", None), parameter.name
        words_of_help = parameter.help.replace("`", "").split()
        assert [word for word in words_of_help if word not in shown] == [], parameter.name


def test_the_help_of_init_lists_every_layout():
    (layout,) = (p for p in command_of(("init",)).params if p.name == "layout")
    assert set(LAYOUTS) <= set(re.findall(r"[a-z]\w+", layout.help))


def test_the_version(speechgru):
    result = speechgru("--version")
    assert (result.status, result.out.split()[0]) == (0, "speechgru")
    assert result.out.split()[1][0].isdigit()


def test_the_command_as_a_module():
    words = [sys.executable, "-m", "speechgru", "--version"]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_without_a_command_the_help_is_shown(speechgru):
    result = speechgru()
    assert result.status == 2
    assert "transcribe" in result.out + result.err


# Wrong usage --------------------------------------------------------------------------------------


@every_command
def test_a_wrong_flag_is_named_with_status_2(words, speechgru):
    result = speechgru(*words, "--flagg")
    assert result.status == 2
    assert "--flagg" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--epochs", "3"], "training.epochs=3"),
        (["--hidden-size=64"], "model.hidden_size=64"),
        (["--training.epochs=5"], "training.epochs=5"),
        (["--freeze", "--device=cpu"], "training.freeze=VALUE"),
        (["--dev", "other.jsonl"], "data.dev=other.jsonl"),
    ],
)
def test_a_setting_given_as_an_option_is_answered_with_its_override(
    speechgru, tmp_path, command, words, meant
):
    result = speechgru(command, "recipes/digits", *words, "--out", str(tmp_path / "a"))
    assert result.status == 2
    assert result.err.strip().endswith(f"write {meant}")


def test_the_beginning_of_an_option_is_no_setting(speechgru, tmp_path):
    result = speechgru("compare", "recipes/digits", "--cell", "gru,lstm", "--out", str(tmp_path))
    assert result.status == 2
    assert "--cells" in result.err


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
    result = speechgru(*words)
    assert result.status == 2
    assert result.out == ""
    assert "Usage: speechgru" in result.err


OUTPUTS = [  # commands with an output that cannot be written, and which of their files
    (("evaluate", "DEV", "--model", "RUN", "--out", "TEXT"), "TEXT/score.json"),
    (("evaluate", "DEV", "--model", "RUN", "--json", "TEXT/a/b"), "TEXT/a/b"),
    (("score", "TEXT", "TEXT", "--json", "TEXT/a"), "TEXT/a"),
    (("significance", "TEXT", "TEXT", "TEXT", "--json", "TEXT/a"), "TEXT/a"),
    (("transcribe", "DEV", "--model", "RUN", "--out", "TEXT"), "TEXT"),
    (("align", "DEV.jsonl", "--model", "RUN", "--out", "TEXT/a"), "TEXT/a"),
    (("lm", "train", "TEXT", "--out", "TEXT/a.arpa"), "TEXT/a.arpa"),
    (("lm", "train", "TEXT", "--out", "EMPTY"), "EMPTY"),
    (("tune", "DEV", "--model", "RUN", "--lm", "TEXT", "--out", "TEXT/d"), "TEXT/d"),
    (("tune", "DEV", "--model", "RUN", "--lm", "TEXT", "--out", "."), "."),
    (("audit", "DEV", "--out", "TEXT"), "TEXT/audit.json"),
    (("audit", "DEV", "--out", "EMPTY", "--fix", "TEXT"), "TEXT/DEV"),
    (("prepare", "digits", "--source", "EMPTY", "--out", "TEXT"), "TEXT/train.jsonl"),
    (("init", "EMPTY", "--out", "TEXT"), "TEXT/EMPTY.yaml"),
    (("export-data", "DEV", "--to", "kaldi", "--out", "TEXT/a"), "TEXT/a"),
    (("train", "RECIPE", "--out", "TEXT"), "TEXT"),
    (("compare", "RECIPE", "--out", "TEXT"), "TEXT"),
]


@pytest.mark.parametrize(("words", "file"), OUTPUTS, ids=lambda part: " ".join(part)[:40])
def test_an_output_that_cannot_be_written_is_found_before_the_work(
    words, file, speechgru, folder, monkeypatch
):
    """Nothing is decoded, trained or counted in vain."""
    # those first that import others of them by name
    for name in ("project.audit", "training.loop.read_training_data", "audit.audit",
                 "lm.smoothing.train", "recognizer.Recognizer.load"):  # fmt: skip
        monkeypatch.setattr(f"speechgru.{name}", None)
    (folder / "DEV.jsonl").symlink_to(folder / "DEV")
    result = speechgru(*words)
    assert (result.status, result.out) == (2, "")
    (error,) = result.err.splitlines()
    assert error.startswith(f"speechgru: {file}: cannot be written: ")
    assert "TEXT is a file" in error or "it is a folder" in error


REPLACED = [  # commands whose outputs in this folder would replace one of their inputs
    ("align", "a.wav", "a.txt", "-f", "txt,srt"),
    ("align", "DEV.json", "-f", "json"),
    ("transcribe", "a.bin", "--vocabulary", "a.txt"),
    ("transcribe", "a.bin", "--hotwords", "a.txt"),
    ("transcribe", "a.txt"),
]


@pytest.mark.parametrize("words", REPLACED, ids=" ".join)
def test_an_input_is_not_replaced(words, speechgru, folder, monkeypatch):
    monkeypatch.setattr("speechgru.recognizer.Recognizer.load", None)  # found before
    for name in ("a.wav", "a.txt", "a.bin"):
        (folder / name).write_text("am\n")
    line = {"audio_filepath": "a.wav", "duration": 1.0, "text": "am", "id": "DEV"}
    (folder / "DEV.json").write_text(json.dumps(line) + "\n")
    result = speechgru(*words, "--model", "RUN", "--out", ".", "--force")
    assert (result.status, result.out) == (2, "")
    (error,) = result.err.splitlines()
    assert "an input of this command" in error


@pytest.mark.parametrize("option", ["--decoding", "--lm", "--vocabulary", "--hotwords"])
def test_figures_replace_no_input(option, speechgru, folder):
    result = speechgru("evaluate", "DEV", "--model", "RUN", option, "TEXT", "--json", "TEXT")
    assert (result.status, "an input of this command" in result.err) == (2, True)


# Wrong input --------------------------------------------------------------------------------------

WRONG = [
    # a command, and parts of the one line it must print: what was found, what was expected
    (("prepare", "tidigits"), ["'tidigits'", "librispeech", "digits"]),
    (("prepare", "an4"), ["an4", "--source"]),
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
    (("evaluate", "no.jsonl", "--model", "RUN"), ["no.jsonl", "speechgru init"]),
    (("evaluate", "TEXT", "--model", "RUN"), ["TEXT:1", "not JSON", "audio_filepath"]),
    (("evaluate", "DEV", "--model", "nowhere"), ["nowhere", "run folder"]),
    (("evaluate", "DEV", "--model", "TEXT"), ["TEXT", "checkpoint"]),
    (("evaluate", "DEV", "--model", "RUN", "--precision", "int3"), ["'int3'", "float32"]),
    (("evaluate", "DEV", "--model", "RUN", "--device", "x"), ["'x'", "auto, cpu, cuda"]),
    (("evaluate", "DEV", "--model", "RUN", "--out", "TEXT"), ["score.json", "cannot be written"]),
    (("evaluate", "DEV", "--model", "RUN", "--json", "RUN"), ["RUN", "cannot be written"]),
    (("score", "no.trn", "TEXT"), ["no.trn", "cannot be read"]),
    (("score", "TEXT", "TEXT", "--json", "RUN"), ["RUN", "cannot be written"]),
    (("transcribe", "DEV", "--model", "RUN", "--format", "docx"), ["'docx'", "txt, json"]),
    (("transcribe", "DEV", "--model", "nowhere"), ["nowhere", "run folder"]),
    (("transcribe", "DEV", "--model", "RUN", "--precision", "int3"), ["'int3'", "float32"]),
    (("transcribe", "https://a.org/b.wav", "--model", "RUN", "--rate", "8000"), ["--rate", "- "]),
    (("transcribe", "DEV", "--model", "RUN", "--force"), ["--force", "--out"]),
    (("transcribe", "DEV", "--model", "RUN", "--nbest", "5"), ["--nbest", "--format json"]),
    (("transcribe", "DEV", "--model", "RUN", "--nbest", "5", "-f", "json"), ["--nbest", "--lm"]),
    (("transcribe", "-", "--model", "RUN", "--nbest", "5", "-f", "json"), ["--nbest", "files"]),
    (("transcribe", "DEV", "--model", "RUN", "--threads", "99999"), ["--threads 99999", "CPUs"]),
    (("compare", "--out", "o"), ["recipes/NAME", "--report-only"]),
    (("info", "nowhere"), ["nowhere", "run folder", "an4, digits, fsdd"]),
    (("info", "EMPTY"), ["EMPTY", "run folder", "an4, digits, fsdd"]),
    (("transcribe", "DEV", "--model", "RECIPE"), ["RECIPE", "not a checkpoint", "run folder"]),
    (("transcribe", "DEV", "--model", "run"), ["run", "there is RUN, in another letter case"]),
    (("tune", "DEV", "--model", "RUN", "--lm", "TEXT", "--out", "a.svg"), ["a.svg", "a .yaml"]),
    (("info", "RUN", "model.hidden_size=3"), ["model.hidden_size=3", "trained model"]),
    # unset variables of a shell, which as paths would be the current folder
    (("transcribe", "", "--model", "RUN"), ["empty", "transcribe"]),
    (("transcribe", "DEV", "--model", "RUN", "--out", ""), ["empty", "--out"]),
    (("init", "EMPTY", "--out="), ["empty", "--out="]),
]


@pytest.fixture
def folder(tones: Path, tone_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files named in WRONG."""
    (tmp_path / "TEXT").write_text("a line of text\n")
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "RUN").symlink_to(tone_run)
    (tmp_path / "DEV").symlink_to(tones / "dev.jsonl")
    write_json(tmp_path / "RECIPE", recipe_values(tones))  # JSON is YAML
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("words", "named"), WRONG, ids=lambda part: " ".join(part)[:40])
def test_wrong_input_is_one_line_with_status_2(words, named, speechgru, folder):
    result = speechgru(*words)
    assert result.status == 2
    (error,) = (
        line
        for line in result.err.splitlines()
        if not line.startswith("dev shares")  # a warning about the data
    )
    assert error.startswith("speechgru: ")
    for part in named:
        assert part in error
    assert sorted(path.name for path in folder.iterdir()) == [
        "DEV", "EMPTY", "RECIPE", "RUN", "TEXT"
    ]  # fmt: skip


def test_a_corpus_with_utterances_missing_is_prepared_with_status_1(speechgru, tones, tmp_path):
    for split in ("train", "dev", "test"):
        utterances = read_manifest(tones / f"{split}.jsonl")
        gone = replace(utterances[0], audio=tmp_path / "gone.wav")
        write_manifest(tmp_path / "in" / f"{split}.jsonl", [*utterances[1:], gone])
    command = ("prepare", "digits", "--source", tmp_path / "in", "--out")
    result = speechgru(*command, tmp_path / "out")
    assert result.status == 1
    *missing, total = result.err.splitlines()
    assert [f"{tmp_path}/gone.wav: " in line for line in missing] == [True] * 3
    assert total.startswith("3 ")
    assert len(read_manifest(tmp_path / "out/dev.jsonl")) == 7
    shutil.copy(tmp_path / "out/dev.jsonl", tmp_path / "out/all.jsonl")
    assert "out/all.jsonl: from an earlier run" in speechgru(*command, tmp_path / "out").err
    assert speechgru(*command, tmp_path / "in").status == 1
    assert len(read_manifest(tmp_path / "in/dev.jsonl")) == 8


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "DEV", "--model", "RUN", "--device", "cpu", "--out", "o"),
        ("score", "TEXT", "TEXT", "--json", "o"),
        ("significance", "LINES", "LINES", "LINES", "--json", "o"),
    ],
    ids=" ".join,
)
def test_figures_are_shown_even_when_they_cannot_be_written(words, speechgru, folder, monkeypatch):
    """Such as on a disk that is full."""
    (folder / "LINES").write_text("one two\nthree four\n" * 9)
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.write(-1, b""))
    result = speechgru(*words)
    assert result.status == 2
    assert "cannot be written" in result.err
    assert "WER " in result.out


def test_results_of_two_test_sets_of_one_name_are_both_kept(speechgru, tone_run, tones, tmp_path):
    shutil.copy(tone_run / "model.safetensors", tmp_path)
    for name, split in (("one", "dev"), ("two", "test")):
        write_manifest(tmp_path / name / "test.jsonl", read_manifest(tones / f"{split}.jsonl"))
        command = (
            "evaluate",
            tmp_path / name / "test.jsonl",
            "--model",
            tmp_path,
            "--device",
            "cpu",
        )
        assert speechgru(*command).status == 0
    counts = [
        len((tmp_path / "results" / name / "ref.trn").read_text().splitlines())
        for name in ("test", "two-test")
    ]
    assert counts == [8, 12]


def test_an_empty_folder_is_an_error_and_the_rest_is_transcribed(speechgru, folder, tones):
    (folder / "here.wav").symlink_to(next((tones / "dev").iterdir()))
    command = (
        "transcribe",
        "here.wav",
        "EMPTY",
        "--model",
        "RUN",
        "-o",
        "texts",
        "--device",
        "cpu",
    )
    result = speechgru(*command)
    assert (result.status, result.out) == (1, "here.wav → texts/here.txt\n")
    error, count = result.err.splitlines()
    assert error.startswith("speechgru: EMPTY: ")
    assert "1 of 2" in count
    again = speechgru(*command)
    assert again.status == 1
    assert re.search("here.txt: .*--force", again.err)
    assert speechgru(*command, "--force").out == result.out


@pytest.mark.parametrize("debug", [["--debug"], []])
def test_debug_shows_the_traceback_and_keeps_the_status(debug, speechgru):
    result = speechgru(*debug, "info", "nowhere")
    assert result.status == 2
    assert ("Traceback" in result.err) == bool(debug)
    assert result.err.splitlines()[-1].startswith("speechgru: ")


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
    result = speechgru(*debug, "prepare", "digits")
    assert (result.status, result.out) == (130, "")
    assert result.err.splitlines()[-1] == "speechgru: interrupted"
    assert ("Traceback" in result.err) == bool(debug)


def test_score_prints_its_normalisation_and_the_format(speechgru, tmp_path):
    (tmp_path / "kaldi").write_text("utt1 a b\nutt2 c\n")
    result = speechgru("score", tmp_path / "kaldi", tmp_path / "kaldi")
    assert result.status == 0
    assert scoring.TIDIED in result.out.splitlines()[-1]
    assert result.out.rstrip().endswith("Kaldi text")
    forced = speechgru("score", tmp_path / "kaldi", tmp_path / "kaldi", "--format", "plain")
    assert "5 words" in forced.out
    wrong = speechgru("score", tmp_path / "kaldi", tmp_path / "kaldi", "--format", "ktm")
    assert wrong.status == 2
    assert "'ktm'" in wrong.err


def test_score_prints_speakers_and_confusions(speechgru, tmp_path):
    texts = "".join(f"one two (s{n}-u)\n" for n in range(12)) + "one (s3-v)\n"
    (tmp_path / "ref.trn").write_text(texts)
    (tmp_path / "hyp.trn").write_text(texts.replace("one two (s3", "one too (s3"))
    result = speechgru(
        "score", tmp_path / "ref.trn", tmp_path / "hyp.trn", "--json", tmp_path / "j"
    )
    rows = [line.split() for line in result.out.splitlines()]
    assert ["│", "s3", "│", "33.33%", "│", "1", "│", "3", "│"] in rows
    assert ["│", "two", "│", "too", "│", "1", "│"] in rows
    assert "2 more speakers" in result.out
    figures = json.loads((tmp_path / "j").read_text())
    assert len(figures["by_speaker"]) == 12
    assert figures["confusions"]["two"] == {"too": 1, "two": 11}


def test_a_transcript_with_braces_is_scored_after_evaluate(
    speechgru, tone_run, tones, tmp_path, monkeypatch
):
    """With punctuation kept, a text may have braces and slashes, as trn alternatives do."""
    utterances = read_manifest(tones / "dev.jsonl")
    texts = [replace(u, text="{a/b} " + u.text) for u in utterances]
    write_manifest(tmp_path / "braces.jsonl", texts)
    checkpoint = load_model(tone_run)
    text_recipe = TextRecipe(punctuation="keep")
    checkpoint.config = checkpoint.config.model_copy(update={"text": text_recipe})
    save_model(tmp_path / "model.safetensors", checkpoint)
    command = ("evaluate", tmp_path / "braces.jsonl", "--model", tmp_path, "--device", "cpu")
    assert speechgru(*command, "--json", tmp_path / "evaluated.json").status == 0
    results = tmp_path / "results/braces"
    files = (results / "ref.trn", results / "hyp.trn")
    assert speechgru("score", *files, "--json", tmp_path / "scored.json").status == 0
    evaluated, scored = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("evaluated", "scored")
    )
    for key in ("words", "substitutions", "deletions", "insertions", "characters", "cer"):
        assert scored[key] == evaluated[key]


def test_the_home_folder_in_an_option(speechgru, tones, tmp_path, monkeypatch):
    """Shells leave `--out=~/a` as it is; without this, a folder called ~ would be written."""
    monkeypatch.setenv("HOME", str(tmp_path))
    result = speechgru("evaluate", tones / "test.jsonl", "--model=~/runs/a")
    assert result.status == 2
    assert f"{tmp_path}/runs/a" in result.err


def test_a_manifest_none_of_whose_audio_can_be_read(speechgru, tone_run, tmp_path):
    lines = [{"audio_filepath": f"{n}.wav", "duration": 1.0, "text": "am"} for n in range(3)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = speechgru("evaluate", tmp_path / "m.jsonl", "--model", tone_run)
    assert result.status == 1
    assert "none of the 3 utterances" in result.err
    assert f"{tmp_path}/0.wav: no such file" in result.err
