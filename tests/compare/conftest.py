"""A tiny comparison of two cells, carried out once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import OPTIONS, MakeSpec
from tones import tone_recipe

from speechgru import kernels
from speechgru.cells import RecurrentLayer
from speechgru.compare import ComparisonSpec, parse, run_comparison, write_report
from speechgru.recipe import Recipe


@contextmanager
def library_backend() -> Iterator[None]:
    """torch.nn's code, here and in our subprocesses: the kernels would first have to be compiled.

    `unsupported_reason` caches its answers for the whole process, so they are cleared before, or
    the switch would have no effect, and after, or other tests would run without kernels.
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
def _library_backend() -> Iterator[None]:
    with library_backend():
        yield


@pytest.fixture(scope="session")
def small(tones: Path) -> Recipe:
    return tone_recipe(tones, training={"epochs": 3, "workers": 0, "batch_seconds": 3})


@pytest.fixture(scope="session")
def make_spec(small: Recipe, tones: Path) -> MakeSpec:
    """`make_spec(seeds=2, …)`: rnn against gru on the tones, scored on their test set."""

    def make(**options: Any) -> ComparisonSpec:
        return parse(small, **{"cells": "rnn,gru", "test": str(tones / "test.jsonl")} | options)

    return make


@pytest.fixture(scope="session")
def finished(make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison with two seeds; read-only."""
    folder = tmp_path_factory.mktemp("compare") / "cells"
    with library_backend():
        run_comparison(make_spec(seeds=2), folder, OPTIONS)
        write_report(folder)
    return folder
