"""Fixtures that several rooms use."""

import os
from pathlib import Path

import pytest


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
