"""Fixtures that several folders of tests use."""

import logging
import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: pytest's workers share the CPUs
os.environ["COLUMNS"] = "80"  # before typer and rich, which look up a terminal's width and colours
os.environ.pop("FORCE_COLOR", None)
os.environ.pop("PY_COLORS", None)
os.environ.pop("GITHUB_ACTIONS", None)

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
import torch
import typer
from tones import tone_recipe, write_corpus

# Background jobs of a shell ignore Ctrl-C, and so would the programs that the tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
# a busy machine may be slow
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real corpora; tests that need it are skipped where there is none."""
    value = os.environ.get("SPEECHGRU_DATA")
    if not value:
        pytest.skip("SPEECHGRU_DATA is not set: it names a folder with an4, fsdd, LibriSpeech")
    folder = Path(value).resolve()
    if not folder.is_dir():
        pytest.skip(f"SPEECHGRU_DATA is {value}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of train.jsonl, dev.jsonl and test.jsonl in the language of tones; read-only."""
    return write_corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def tone_run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a model that reads the tones; read-only."""
    from speechgru.training.loop import train

    folder = tmp_path_factory.mktemp("runs") / "tones"
    train(tone_recipe(tones), folder, "cpu")
    return folder


@pytest.fixture
def digits_for_tones(tmp_path: Path) -> Path:
    """A vocabulary that writes the words of the tones as digits."""
    path = tmp_path / "digits.txt"
    path.write_text("1\tam\n2\tmo\n3\toa\n4\tma\n")
    return path


@pytest.fixture(scope="session")
def stream_run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a unidirectional model that reads the tones; read-only."""
    from speechgru.training.loop import train

    folder = tmp_path_factory.mktemp("runs") / "stream"
    recipe = tone_recipe(
        tones, features={"normalise": "running"}, training={"epochs": 8, "evaluate_every": 8},
        model={"bidirectional": False, "lookahead": 3},
    )  # fmt: skip
    train(recipe, folder, "cpu")
    return folder


class Result(NamedTuple):
    """Of a command: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


@pytest.fixture
def speechgru(run_program: Callable[..., Result]) -> Callable[..., Result]:
    """`speechgru("info", "runs/a")` as a shell would run it, but in this process."""
    from speechgru.cli.main import app

    return partial(run_program, app, "speechgru")


@pytest.fixture
def run_program(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """`run_program(app, "speechgru", "info", "runs/a")`: a typer application with its error
    handling."""
    from speechgru.cli.main import run

    def command(app: typer.Typer, name: str, *words: str | Path) -> Result:
        logger = logging.getLogger("speechgru")
        handlers, level, threads = list(logger.handlers), logger.level, torch.get_num_threads()
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        capfd.readouterr()
        try:
            run(app, name)
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            logger.handlers[:] = handlers
            logger.setLevel(level)
            torch.set_num_threads(threads)
        return Result(status, *capfd.readouterr())

    return command


@pytest.fixture
def lock_folder(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes folders of a name unsearchable, for the superuser too."""
    scan = os.scandir

    def lock(name: str) -> None:
        def refuse(folder: str) -> object:
            if Path(folder).name == name:
                raise PermissionError(13, "Permission denied", str(folder))
            return scan(folder)

        monkeypatch.setattr(os, "scandir", refuse)

    return lock
