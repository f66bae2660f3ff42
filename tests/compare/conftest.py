"""A tiny comparison of two cells, carried out once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tones import tone_recipe

from speechgru.cells import RecurrentLayer
from speechgru.compare import Means, Question, ask, compare
from speechgru.recipe import Recipe

Asked = Callable[..., Question]
MEANS = Means("cpu", cost=False)


@pytest.fixture(autouse=True)
def _library_road(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.nn's code: our kernels would first have to be compiled."""
    monkeypatch.setattr(RecurrentLayer, "road", "fused")
    monkeypatch.setenv("SPEECHGRU_CPU_KERNELS", "0")


@pytest.fixture(scope="session")
def small(tones: Path) -> Recipe:
    return tone_recipe(tones, training={"epochs": 3, "workers": 0, "batch_seconds": 3})


@pytest.fixture(scope="session")
def asked(small: Recipe, tones: Path) -> Asked:
    """`asked(seeds=1, …)`: rnn against gru on the tones' test."""

    def question(**words: Any) -> Question:
        return ask(small, **{"cells": "rnn,gru", "test": str(tones / "test.jsonl")} | words)

    return question


@pytest.fixture(scope="session")
def finished(asked: Asked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison with two seeds; read-only."""
    folder = tmp_path_factory.mktemp("compare") / "cells"
    before, RecurrentLayer.road = RecurrentLayer.road, "fused"
    compare(asked(seeds=2), folder, MEANS)
    RecurrentLayer.road = before
    return folder
