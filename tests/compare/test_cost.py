"""Which costs are measured, and kept."""

import json
import logging
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from helpers import OPTIONS, MakeSpec

from speechgru.compare import RunOptions, cost, run_comparison
from speechgru.compare.cost import load_costs
from speechgru.manifest import Utterance
from speechgru.recipe import Recipe

# Costs that were once measured; any others would do.
MEASURED = load_costs(Path(__file__).parents[2] / "docs/results/an4-cells/cost.json")["gru"]
COST = RunOptions("cpu")


class Measuring:
    """In place of the processes that measure: which runs they were given."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.broken: set[str] = set()  # variants that cannot be measured

    def run(
        self, words: list[str], input: str, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        folder, recipe, device = json.loads(input)
        assert Path(recipe["data"]["dev"]).exists()
        assert device == "cpu"
        assert (Path(folder) / "model.safetensors").exists()
        self.runs.append(Path(folder).name)
        if self.runs[-1].split("-")[0] in self.broken:
            trace = "Traceback (most recent call last):\n  …\nMemoryError: no room\n"
            return subprocess.CompletedProcess(words, 1, "", trace)
        output = f"a library's greeting\n{json.dumps(asdict(MEASURED))}\n"
        return subprocess.CompletedProcess(words, 0, output, "a warning\n")


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    stub = Measuring()
    monkeypatch.setattr(subprocess, "run", stub.run)
    return stub


@pytest.fixture
def grid(finished: Path, tmp_path: Path) -> Path:
    """A finished comparison of rnn and gru; nothing has been measured."""
    return shutil.copytree(finished, tmp_path / "grid")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_each_variant_is_measured_once_by_its_first_run(
    make_spec: MakeSpec, grid: Path, measuring: Measuring
):
    run_comparison(make_spec(seeds=2), grid, OPTIONS)
    assert not (grid / "cost.json").exists()
    assert measuring.runs == []
    run_comparison(make_spec(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed1", "gru-seed1"]
    assert load_costs(grid / "cost.json") == {"rnn": MEASURED, "gru": MEASURED}
    run_comparison(make_spec(seeds=2), grid, COST)
    assert len(measuring.runs) == 2


def test_a_measurement_that_fails_is_a_warning_and_tried_again(
    make_spec: MakeSpec, grid: Path, measuring: Measuring, caplog: pytest.LogCaptureFixture
):
    measuring.broken = {"rnn"}
    run_comparison(make_spec(seeds=2), grid, COST)
    assert list(load_costs(grid / "cost.json")) == ["gru"]
    (warning, *others) = warnings(caplog)
    assert "rnn" in warning
    assert "MemoryError: no room" in warning
    assert "Traceback" not in warning
    assert not any("gru" in other for other in others)
    measuring.broken = set()
    run_comparison(make_spec(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed1", "gru-seed1", "rnn-seed1"]
    assert set(load_costs(grid / "cost.json")) == {"rnn", "gru"}


def test_deleted_models_are_a_warning_unless_they_were_measured(
    make_spec: MakeSpec, grid: Path, measuring: Measuring, caplog: pytest.LogCaptureFixture
):
    for run in ("rnn-seed1", "gru-seed1", "gru-seed2"):
        (grid / "runs" / run / "model.safetensors").unlink()
    run_comparison(make_spec(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed2"]
    (warning,) = warnings(caplog)
    assert "gru" in warning
    shutil.rmtree(grid / "runs")
    caplog.clear()
    run_comparison(make_spec(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed2"]
    assert warnings(caplog) == [warning]


def test_a_process_of_its_own_measures_a_trained_run_wherever_its_data_are_now(
    finished: Path, small: Recipe, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The real one, but with less of everything."""
    usual = subprocess.run

    def quick(words: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        less = (
            "from speechgru.compare import cost; from speechgru import measure; "
            "measure.REPEATS = cost.MAX_UTTERANCES = 1; "
        )
        return usual([*words[:-1], less + words[-1]], **options)

    monkeypatch.setattr(subprocess, "run", quick)
    run = shutil.copytree(finished / "runs" / "gru-seed1", tmp_path / "gru-seed1")
    (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace(str(tones), "gone"))
    before = (run / "model.safetensors").read_bytes()
    found = cost.measure_all({"gru": (run, small)}, tmp_path / "cost.json", "cpu")
    assert found == load_costs(tmp_path / "cost.json")
    values = found["gru"]
    assert values.model_bytes == len(before)
    assert values.fastest == "fused"
    assert set(values.backends) == {"fused", "unroll"}
    assert values.timing() == values.timing("fused")
    for timing in values.backends.values():
        assert all(seconds > 0 for seconds in asdict(timing).values())
    assert values.precisions == {}  # of the kernels, which are switched off
    assert 0 < values.cpu_share < 1.2  # of a CPU, by two clocks
    assert (run / "model.safetensors").read_bytes() == before


def test_times_of_two_devices_or_of_a_busy_machine_are_doubtful():
    quiet, busy = (cost.VariantCost("AVX2", 1, {}, "unroll", share) for share in (0.95, 0.4))
    other = cost.VariantCost("AVX512", 1, {}, "unroll", 0.95)
    assert cost.doubts([]) == ""
    assert cost.doubts([quiet, quiet]) == ""
    assert "40 %" in cost.doubts([quiet, busy])
    assert "AVX2, AVX512" in cost.doubts([other, quiet])


@pytest.mark.parametrize(
    ("seconds", "timed"),
    [
        ([15, 10, 15, 0.5], 3),  # 40 seconds, and no more
        ([15, 10, 16, 0.5], 2),  # the first ones: a later one that would fit is not used
        ([90, 1], 1),  # one at least
        ([1] * 30, 20),
        ([], 0),
    ],
)
def test_the_first_utterances_of_dev_are_timed(seconds: list[float], timed: int):
    dev = [Utterance(f"{k}.wav", s, "a", str(k)) for k, s in enumerate(seconds)]
    assert cost.timed_utterances(dev) == dev[:timed]
