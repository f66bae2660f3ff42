"""A comparison in real processes on the embedded digits, killed twice and started again: its
results are, byte for byte, those of a comparison that was not interrupted. One gets Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from speechgru.files import write_json
from speechgru.manifest import read_manifest
from speechgru.manifest_writer import write_manifest

SPEECHGRU = Path(sys.executable).with_name("speechgru")
DIGITS = Path(__file__).parents[2] / "data" / "digits"
COUNTS = {"train": 24, "dev": 6, "test": 8}
TINY = {
    "features": {"sample_rate": 8000, "mels": 16},
    "augment": {"speed": [0.9, 1.0, 1.1], "time_masks": 1},
    "model": {"layers": 1, "hidden_size": 8, "subsampling": "stack", "factor": 4},
    "training": {"epochs": 3, "batch_seconds": 12, "average": 2},
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a recipe and its manifests."""
    folder = tmp_path_factory.mktemp("digits")
    for split, count in COUNTS.items():
        utterances = read_manifest(DIGITS / f"{split}.jsonl")
        write_manifest(folder / f"{split}.jsonl", utterances[:: len(utterances) // count][:count])
    data = {"train": [str(folder / "train.jsonl")], "dev": str(folder / "dev.jsonl")}
    write_json(folder / "recipe.yaml", {"data": data, **TINY})  # JSON is YAML
    return folder


def words_for(digits: Path, *words: object) -> list[str]:
    """A command's words but for --out and --jobs: two cells, and `words`."""
    always = ["compare", digits, "--cells", "rnn,gru", "--test", digits / "test.jsonl"]
    always += ["--no-cost", "--device", "cpu", "--threads", 1]
    return [str(SPEECHGRU), *map(str, [*always, *words])]


@pytest.fixture(scope="module")
def order(digits: Path) -> list[str]:
    """Two rates to try, two seeds."""
    return words_for(digits, "--seeds", 2, "--tune", "lr=0.002,0.02")


def start(order: list[str], out: Path, jobs: int) -> subprocess.Popen[bytes]:
    """In a process group of its own, as a shell has it: `os.killpg` does what a terminal does."""
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"SPEECHGRU_CPU_KERNELS": "0"}  # nothing is compiled
    with (out / "log.txt").open("ab") as log:
        words = [*order, "--out", str(out), "--jobs", str(jobs)]
        return subprocess.Popen(words, stdout=log, stderr=log, env=environment, process_group=0)


def finish(order: list[str], out: Path, jobs: int) -> None:
    assert start(order, out, jobs).wait(300) == 0, (out / "log.txt").read_text()


def wait_until(reached: Callable[[], bool], grid: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not reached():
        assert grid.poll() is None, "the grid was through before it was disturbed"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


def kill_when(reached: Callable[[], bool], grid: subprocess.Popen[bytes]) -> None:
    wait_until(reached, grid)
    grid.kill()
    assert grid.wait() == -signal.SIGKILL


def repeatable(file: Path) -> bytes:
    """A result's bytes but for what a clock said."""
    values = json.loads(file.read_bytes())
    for key in ("costs", "seconds_per_epoch"):
        values.pop(key, None)
    for row in values.get("curve", ()):
        del row["seconds"]
    return json.dumps(values, ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def undisturbed(order: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "cells"
    finish(order, out, jobs=1)
    return out


def assert_the_same(out: Path, undisturbed: Path) -> None:
    names = sorted(path.name for path in (undisturbed / "results").iterdir())
    assert len(names) == 2 * 2 + 2 * 2  # rates tried, and runs
    for name in ["results.json", *(f"results/{name}" for name in names)]:
        assert repeatable(out / name) == repeatable(undisturbed / name), name
    for run in ("rnn-seed1", "rnn-seed2", "gru-seed1", "gru-seed2"):
        ours, theirs = (
            load_file(f / "runs" / run / "model.safetensors") for f in (out, undisturbed)
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), run


def test_killed_twice_and_resumed(order: list[str], undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells"
    tried = out / "tuning" / "gru-lr0.002-seed1" / "metrics.jsonl"
    kill_when(tried.exists, start(order, out, jobs=1))  # in the midst of choosing learning rates
    assert json.loads((out / "plan.json").read_text())["learning_rates"] is None
    half = out / "runs" / "gru-seed2" / "metrics.jsonl"
    kill_when(half.exists, start(order, out, jobs=1))  # in the midst of a run
    assert not (out / "results.json").exists()
    finish(order, out, jobs=1)
    assert "finished already" in (out / "log.txt").read_text()
    assert_the_same(out, undisturbed)


def test_killed_with_two_workers_and_resumed(
    order: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(undisturbed, tmp_path / "cells")
    runs = [out / "runs" / name for name in ("rnn-seed2", "gru-seed2")]
    for run in runs:
        (out / "results" / f"{run.name}.json").unlink()
        shutil.rmtree(run)
    (out / "results.json").unlink()
    metrics = [run / "metrics.jsonl" for run in runs]
    kill_when(lambda: any(file.exists() for file in metrics), start(order, out, jobs=2))
    assert not (out / "results.json").exists()
    finish(order, out, jobs=2)
    assert_the_same(out, undisturbed)


def test_ctrl_c_lets_every_worker_save_and_they_go_on(digits: Path, tmp_path: Path) -> None:
    """A terminal sends it to the whole group. Workers are in others (see test_place): beside the
    SIGTERM that asks them to save, it would be a second signal, which may end them at once."""
    out, order = tmp_path / "cells", words_for(digits, "training.epochs=3000")
    runs = [out / "runs" / f"{cell}-seed1" for cell in ("rnn", "gru")]
    metrics = [run / "metrics.jsonl" for run in runs]

    def session(written: list[int]) -> list[str]:
        """Metrics of a grid that gets its Ctrl-C when more than so many characters are there."""
        grid = start(order, out, jobs=2)
        wait_until(
            lambda: all(
                file.exists() and file.stat().st_size > size
                for file, size in zip(metrics, written, strict=True)
            ),
            grid,
        )
        (out / "signal").touch()
        os.killpg(grid.pid, signal.SIGINT)
        assert grid.wait(300) == 130
        sent = (out / "signal").stat().st_mtime_ns
        assert all((run / "last.safetensors").stat().st_mtime_ns >= sent for run in runs)
        return [file.read_text() for file in metrics]

    first = session([0, 0])
    second = session([len(text) for text in first])
    for before, after in zip(first, second, strict=True):
        assert after.startswith(before)  # its seconds never repeat, so nothing was done again
    for run in runs:
        assert (run / "worker.log").read_text().count("stopping after this step") == 2
    assert "Traceback" not in (out / "log.txt").read_text()
    assert not list(out.glob("results/*"))
