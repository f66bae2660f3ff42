"""A tiny comparison of two cells, carried out once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import MEANS, Asked
from tones import tone_recipe

from speechgru import kernels
from speechgru.cells import RecurrentLayer
from speechgru.compare import Question, ask, compare
from speechgru.recipe import Recipe


@contextmanager
def library_road() -> Iterator[None]:
    """torch.nn's code, here and in processes of ours: our kernels would first have to be compiled.

    `unsupported_reason` caches its answers for the whole process.
    """
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RecurrentLayer, "backend", "fused")
            patch.setenv("SPEECHGRU_CPU_KERNELS", "0")
            kernels.unsupported_reason.cache_clear()
            yield
    finally:
        kernels.unsupported_reason.cache_clear()


@pytest.fixture(autouse=True)
def _library_road() -> Iterator[None]:
    with library_road():
        yield


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
    with library_road():
        compare(asked(seeds=2), folder, MEANS)
    return folder
