"""Ctrl-C in a training, sent to the real process, and the same command with --resume."""

import json
import re
import signal
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from shell import run, start
from tones import recipe_values

from speechgru.manifest import read_manifest
from speechgru.recognizer import Recognizer

OPTIONS = ("--out", "runs/tones", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def stopped(tones: Path, tmp_path_factory: pytest.TempPathFactory):
    """A folder where the training of `tone_run` got a signal after an epoch; its output."""
    folder = tmp_path_factory.mktemp("interrupting")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe_values(tones)))
    process = start("train", "recipe.yaml", *OPTIONS, cwd=folder)
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if line.startswith("epoch   1/12"):
            process.send_signal(signal.SIGINT)
            break
    out, rest = process.communicate(timeout=120)
    return folder, process.returncode, out, seen + rest


def test_it_ends_with_status_130_and_names_the_option_to_continue(stopped):
    _, status, out, err = stopped
    assert status == 130
    assert out == ""
    assert "Traceback" not in err
    assert "stopping after this step" in err
    assert re.search(r"interrupted after \d+ epoch.*--resume", err.splitlines()[-1])


def test_what_it_leaves_can_be_used(stopped, tones):
    folder = stopped[0]
    recognizer = Recognizer.load(folder / "runs/tones", "cpu")
    recognizer.transcribe(read_manifest(tones / "dev.jsonl")[0])
    epochs = (folder / "runs/tones/metrics.jsonl").read_text().splitlines()
    assert 1 <= len(epochs) < 12


def test_resumed_it_ends_with_the_weights_of_an_uninterrupted_one(stopped, tone_run):
    """That one ran in this process, this one in two others."""
    folder = stopped[0]
    again = run("train", "recipe.yaml", *OPTIONS, cwd=folder)
    assert again.status == 2
    assert "--resume" in again.err
    done = run("train", "recipe.yaml", *OPTIONS, "--resume", cwd=folder)
    assert done.status == 0, done.err
    assert "epoch   1/12" not in done.err
    assert "epoch  12/12" in done.err
    for name in ("last", "model"):
        ours = load_file(folder / f"runs/tones/{name}.safetensors")
        whole = load_file(tone_run / f"{name}.safetensors")
        assert ours.keys() == whole.keys()
        assert all(torch.equal(ours[key], whole[key]) for key in whole)
    ours_rows, whole_rows = (
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (folder / "runs/tones", tone_run)
    )
    for rows in (ours_rows, whole_rows):
        for row in rows:
            del row["seconds"]
    assert ours_rows == whole_rows
