"""Time and memory of calls: medians, threads, shares of a CPU, and waiting for a GPU."""

from collections.abc import Callable, Iterator

import pytest
import torch
from clock import Clock

from speechgru import measure
from speechgru.measure import Stopwatch, memory_use, time_ratio

CPU = torch.device("cpu")
GPU = torch.device("cuda", 1)  # tests only name it


def calls(clock: Clock, seconds: list[float], share: float) -> Callable[[], None]:
    left: Iterator[float] = iter(seconds)
    return lambda: clock.spend(next(left), share)


def test_the_stopwatch_takes_the_median_and_the_cpu_share(
    monkeypatch: pytest.MonkeyPatch,
):
    clock, watch = Clock(), Stopwatch(CPU)
    monkeypatch.setattr(measure, "time", clock)
    monkeypatch.setattr(measure, "REPEATS", 5)
    assert watch.cpu_share == 1  # nothing was disturbed
    warm = 100.0  # the warm-up call
    assert watch.median(calls(clock, [warm, 1, 9, 2, 3, 5], 0.5), 1) == 3
    assert watch.cpu_share == pytest.approx(0.5)  # 20 seconds
    watch.median(calls(clock, [warm, 8, 8, 8, 8, 8], 1.0), 1)  # 40 more
    assert watch.cpu_share == pytest.approx((0.5 * 20 + 1.0 * 40) / 60)
    watch.median(calls(clock, [warm, 1, 1, 1, 1, 1], 2.0), 2)  # two threads are not counted
    assert watch.cpu_share == pytest.approx((0.5 * 20 + 1.0 * 40) / 60)


def test_the_stopwatch_sets_threads_and_restores_them():
    before, seen = torch.get_num_threads(), []

    def run() -> None:
        seen.append(torch.get_num_threads())
        if len(seen) == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        Stopwatch(CPU).median(run, 2)
    assert (seen, torch.get_num_threads()) == ([2, 2, 2], before)


def test_a_ratio_of_times_is_that_of_medians_after_a_warm_up_call(monkeypatch):
    clock, calls = Clock(), []
    monkeypatch.setattr(measure, "time", clock)

    def work(name: str, *seconds: float) -> Callable[[], None]:
        left = iter(seconds)

        def run() -> None:
            calls.append(name)
            clock.spend(next(left))

        return run

    candidate = work("candidate", 100, 6, 6, 1, 90, 2)  # median 6
    reference = work("reference", 100, 3, 50, 4, 1, 4)  # median 4
    assert time_ratio(candidate, reference, CPU) == pytest.approx(6 / 4)
    assert calls == ["candidate", "reference"] * 6


def test_a_gpu_is_waited_for_before_and_after_each_timed_call(monkeypatch: pytest.MonkeyPatch):
    events: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(f"wait {device}"))
    time_ratio(lambda: events.append("work"), lambda: events.append("work"), GPU)
    assert events == ["work", "work"] + ["wait cuda:1", "work", "wait cuda:1"] * 10


def test_the_peak_of_a_call_is_what_it_takes_at_once():
    def run() -> None:
        for _ in range(3):
            torch.ones(16_000_000)  # 64 MB

    memory = memory_use(run, CPU)
    if memory is None:
        pytest.skip("this system does not report memory")
    before, most = memory
    assert before > 50e6  # of PyTorch alone
    assert 60e6 < most - before < 120e6
