"""Ctrl-C in a training, sent to the real process, and the same command with --resume."""

import json
import re
import signal
from pathlib import Path

import pytest
import torch
import yaml
from shell import order, start
from tones import recipe_values

from speechgru.checkpoint import read_tensors
from speechgru.manifest import read_manifest
from speechgru.recognizer import Recognizer

OPTIONS = ("--out", "runs/tones", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def stopped(tones: Path, tmp_path_factory: pytest.TempPathFactory):
    """A folder where the training of `tone_run` got a signal after an epoch; what it said."""
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


def test_it_ends_with_status_130_and_says_how_to_go_on(stopped):
    _, status, out, err = stopped
    assert status == 130
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert "stopping after this step; once more to stop at once" in lines
    assert re.fullmatch(
        r"interrupted after \d+ epochs; the same command with --resume goes on", lines[-1]
    )


def test_what_it_leaves_can_be_used(stopped, tones):
    folder = stopped[0]
    recognizer = Recognizer.load(folder / "runs/tones", "cpu")
    recognizer.transcribe(read_manifest(tones / "dev.jsonl")[0])
    epochs = (folder / "runs/tones/metrics.jsonl").read_text().splitlines()
    assert 1 <= len(epochs) < 12


def test_resumed_it_ends_with_the_weights_of_an_uninterrupted_one(stopped, tone_run):
    """That one ran in this process; this one in two others."""
    folder = stopped[0]
    again = order("train", "recipe.yaml", *OPTIONS, cwd=folder)
    assert again.status == 2
    assert "--resume goes on with it" in again.err
    done = order("train", "recipe.yaml", *OPTIONS, "--resume", cwd=folder)
    assert done.status == 0, done.err
    assert "epoch   1/12" not in done.err
    assert "epoch  12/12" in done.err
    for name, kind in (("last", "speechgru-state-2"), ("model", "speechgru-1")):
        ours, _ = read_tensors(folder / f"runs/tones/{name}.safetensors", kind)
        whole, _ = read_tensors(tone_run / f"{name}.safetensors", kind)
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
