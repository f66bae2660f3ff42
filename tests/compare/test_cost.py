"""What costs are measured, of whom, and kept; how the stopwatch counts."""

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from asking import Asked, Clock

from speechgru.compare import Means, compare, cost
from speechgru.manifest import Utterance

# Costs that were once measured; any other would do.
MEASURED = json.loads(
    (Path(__file__).parents[2] / "docs/results/an4-cells/cost.json").read_text()
)["gru"]  # fmt: skip
NO_COST, COST = Means("cpu", cost=False), Means("cpu")


class Measuring:
    """In place of the processes that measure: which runs they were given."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.broken: set[str] = set()  # variants that cannot be measured

    def run(
        self, words: list[str], input: str, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        folder, device = json.loads(input)
        assert device == "cpu"
        assert (Path(folder) / "model.safetensors").exists()
        self.runs.append(Path(folder).name)
        if self.runs[-1].split("-")[0] in self.broken:
            trace = "Traceback (most recent call last):\n  …\nMemoryError: no room\n"
            return subprocess.CompletedProcess(words, 1, "", trace)
        told = f"a library's greeting\n{json.dumps(MEASURED)}\n"
        return subprocess.CompletedProcess(words, 0, told, "a warning\n")


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
    asked: Asked, grid: Path, measuring: Measuring
):
    assert compare(asked(seeds=2), grid, NO_COST).costs == {}
    assert measuring.runs == []
    results = compare(asked(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed1", "gru-seed1"]
    assert list(results.costs) == ["rnn", "gru"]
    assert json.loads((grid / "cost.json").read_text()) == {"rnn": MEASURED, "gru": MEASURED}
    compare(asked(seeds=2), grid, COST)
    assert len(measuring.runs) == 2


def test_a_measurement_that_fails_is_a_warning_and_tried_again(
    asked: Asked, grid: Path, measuring: Measuring, caplog: pytest.LogCaptureFixture
):
    measuring.broken = {"rnn"}
    results = compare(asked(seeds=2), grid, COST)
    assert list(results.costs) == ["gru"]
    assert list(json.loads((grid / "cost.json").read_text())) == ["gru"]
    (warning, *others) = warnings(caplog)
    assert "rnn" in warning
    assert "MemoryError: no room" in warning
    assert "Traceback" not in warning
    assert not any("gru" in other for other in others)
    measuring.broken = set()
    results = compare(asked(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed1", "gru-seed1", "rnn-seed1"]
    assert set(results.costs) == {"rnn", "gru"}


def test_models_that_were_deleted_are_told_unless_they_were_measured(
    asked: Asked, grid: Path, measuring: Measuring, caplog: pytest.LogCaptureFixture
):
    for run in ("rnn-seed1", "gru-seed1", "gru-seed2"):
        (grid / "runs" / run / "model.safetensors").unlink()
    compare(asked(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed2"]
    (warning,) = warnings(caplog)
    assert "the cost of gru is not measured" in warning
    shutil.rmtree(grid / "runs")
    caplog.clear()
    compare(asked(seeds=2), grid, COST)
    assert measuring.runs == ["rnn-seed2"]
    assert warnings(caplog) == [warning]


def test_a_process_of_its_own_measures_a_trained_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The real one, but for how much it takes."""
    usual = subprocess.run

    def quick(words: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        less = "from speechgru.compare import cost; cost.REPEATS = cost.UTTERANCES = 1; "
        return usual([*words[:-1], less + words[-1]], **options)

    monkeypatch.setattr(subprocess, "run", quick)
    run = finished / "runs" / "gru-seed1"
    found = cost.measure_all({"gru": run}, tmp_path / "cost.json", "cpu")
    assert found == json.loads((tmp_path / "cost.json").read_text())
    values = found["gru"]
    assert values["bytes"] == (run / "model.safetensors").stat().st_size
    assert values["fastest"] == "fused"
    assert set(values["roads"]) == {"fused", "unroll"}
    for times in values["roads"].values():
        assert set(times) == {"rtf_1_thread", "rtf_2_threads", "seconds_per_epoch"}
        assert all(seconds > 0 for seconds in times.values())
    assert values["precisions"] == {}  # of the kernels, which are switched off
    assert 0 < values["share"] < 1.2  # of a processor, by two clocks


def test_times_of_two_devices_or_of_a_busy_machine_are_doubtful():
    quiet, busy = ({"device": "CPU, AVX2", "share": share} for share in (0.95, 0.4))
    assert cost.doubtful([]) == ""
    assert cost.doubtful([quiet, quiet]) == ""
    assert "40 % of a processor" in cost.doubtful([quiet, busy])
    assert "CPU, AVX2, CPU, AVX512" in cost.doubtful([quiet, quiet | {"device": "CPU, AVX512"}])


# The stopwatch -----------------------------------------------------------------------------------


def calls(clock: Clock, seconds: list[float], share: float) -> Callable[[], None]:
    left: Iterator[float] = iter(seconds)
    return lambda: clock.spend(next(left), share)


def test_the_stopwatch_takes_the_median_and_the_share_of_a_processor(
    monkeypatch: pytest.MonkeyPatch,
):
    clock, watch = Clock(), cost.Stopwatch()
    monkeypatch.setattr(cost, "time", clock)
    monkeypatch.setattr(cost, "REPEATS", 5)
    assert watch.share == 1  # nothing was disturbed
    warm = 100.0  # a call that counts for nothing
    assert watch.median(calls(clock, [warm, 1, 9, 2, 3, 5], 0.5), 1) == 3
    assert watch.share == pytest.approx(0.5)  # 20 seconds
    watch.median(calls(clock, [warm, 8, 8, 8, 8, 8], 1.0), 1)  # 40 more
    assert watch.share == pytest.approx((0.5 * 20 + 1.0 * 40) / 60)
    watch.median(calls(clock, [warm, 1, 1, 1, 1, 1], 2.0), 2)  # two threads do not tell
    assert watch.share == pytest.approx((0.5 * 20 + 1.0 * 40) / 60)


def test_the_stopwatch_sets_threads_and_puts_them_back():
    before, seen = torch.get_num_threads(), []

    def run() -> None:
        seen.append(torch.get_num_threads())
        if len(seen) == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        cost.Stopwatch().median(run, 2)
    assert (seen, torch.get_num_threads()) == ([2, 2, 2], before)


@pytest.mark.parametrize(
    ("seconds", "heard"),
    [
        ([15, 10, 15, 0.5], 3),  # 40 seconds, and no more
        ([15, 10, 16, 0.5], 2),  # the first ones: none is sought that fits
        ([90, 1], 1),  # one at least
        ([1] * 30, 20),
        ([], 0),
    ],
)
def test_what_is_heard_is_the_beginning_of_dev(seconds: list[float], heard: int):
    dev = [Utterance(Path(f"{k}.wav"), s, "a", str(k)) for k, s in enumerate(seconds)]
    assert cost._heard(dev) == dev[:heard]
