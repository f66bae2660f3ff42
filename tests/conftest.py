"""Fixtures that several rooms use."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two workers share the processors

from pathlib import Path

import hypothesis
import pytest
import torch
from tones import tone_recipe, write_corpus

torch.set_num_threads(1)
# a busy machine is slow, not wrong
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
        pytest.skip(f"SPEECHGRU_DATA is {value}, which is no folder")
    return folder


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of train.jsonl, dev.jsonl and test.jsonl in the language of tones; read-only."""
    return write_corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def tone_run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a model that reads the tones; read-only."""
    from speechgru.training import train

    folder = tmp_path_factory.mktemp("runs") / "tones"
    train(tone_recipe(tones), folder, "cpu")
    return folder
