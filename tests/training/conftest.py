"""Data for trainings that need not learn anything, and a run on it."""

from pathlib import Path

import pytest
from tones import write_split
from trainings import long_recipe

from speechgru.training.loop import train


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training utterances and four of dev."""
    folder = tmp_path_factory.mktemp("few")
    write_split(folder, "train", 12, 1)
    write_split(folder, "dev", 4, 2)
    return folder


@pytest.fixture(scope="session")
def whole(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of three epochs, two of them averaged."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(long_recipe(few), folder, "cpu")
    return folder
