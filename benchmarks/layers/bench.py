"""The measurement: our layers against torch.nn's and onnxruntime's, and the floor."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.layers.case import Case
from benchmarks.layers.contenders import Contender, onnx_runtime, ours, torch_nn, workload
from benchmarks.layers.grid import Grid
from benchmarks.layers.machine import Processor, this_machine, versions
from benchmarks.layers.roofline import Rates, floor, measure_rates
from benchmarks.layers.rounds import Timer, difference, outcome, time_rounds
from speechgru import kernels
from speechgru.files import write_json

TIMED_CELLS = ("gru", "lstm", "rnn")
TOLERANCE = {"forward": 1e-4, "chunk": 1e-4, "training": 1e-3}
"""Of `difference`: a float32 contender with a larger one is not timed."""
Show = Callable[[int, int, str], None]  # cases done, cases in total, current step


@dataclass(frozen=True)
class LayerTimes:
    """One of our layers in one case, as a row of the table; seconds, None if not measured."""

    case: Case
    cell: str
    precision: str
    ours: float
    torch_nn: float
    torch_lstm: float
    onnxruntime: float | None
    floor: float
    error: float  # see `difference`


@dataclass(frozen=True)
class CaseResult:
    """One case: seconds of every round, and facts about our layers, by contender."""

    case: Case
    times: dict[str, list[float]]
    errors: dict[str, float]  # against torch.nn's float32
    ours: dict[str, tuple[str, str]]  # cell and precision
    floors: dict[str, float]  # of ours

    def seconds(self, name: str) -> float:
        return median(self.times[name])

    def rows(self) -> list[LayerTimes]:
        found = []
        for name, (cell, precision) in self.ours.items():
            rival = f"onnxruntime {cell}"
            found.append(LayerTimes(
                self.case, cell, precision, self.seconds(name),
                self.seconds(f"torch.nn {cell}"), self.seconds("torch.nn lstm"),
                self.seconds(rival) if rival in self.times else None,
                self.floors[name], self.errors[name],
            ))  # fmt: skip
        return found

    def to_json(self) -> dict[str, Any]:
        """Milliseconds; a ratio is the speed-up of ours."""
        rivals = [name for name in self.times if name not in self.ours]
        return {
            **asdict(self.case),
            "medians_ms": {name: _ms(self.seconds(name)) for name in self.times},
            "fastest_ms": {name: _ms(min(times)) for name, times in self.times.items()},
            "slowest_ms": {name: _ms(max(times)) for name, times in self.times.items()},
            "floors_ms": {name: _ms(seconds) for name, seconds in self.floors.items()},
            "floor_ratios": {
                name: round(seconds / self.seconds(name), 3)
                for name, seconds in self.floors.items()
            },
            "ratios": {
                name: {
                    rival: round(self.seconds(rival) / self.seconds(name), 3) for rival in rivals
                }
                for name in self.floors
            },
            "errors": self.errors,
        }


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 4)


@dataclass
class LayerReport:
    """One run: the figures, and everything that they depend on."""

    machine: Processor
    versions: dict[str, str]
    rates: Rates
    rounds: int
    results: list[CaseResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # contenders that are missing, and why
    mismatches: list[str] = field(default_factory=list)  # contenders with other results

    def facts(self) -> dict[str, str]:
        return self.machine.facts() | self.rates.facts()

    def to_json(self) -> dict[str, Any]:
        return {
            "tier": self.machine.tier,
            "machine": asdict(self.machine),
            "versions": self.versions,
            "rates": self.rates.to_json(),
            "rounds": self.rounds,
            "notes": self.notes,
            "mismatches": self.mismatches,
            "cases": [result.to_json() for result in self.results],
        }


def bench_layers(
    grid: Grid, threads: int, file: Path | None, show: Show, timer: Timer | None = None
) -> LayerReport:
    """Measure the grid on `threads` threads (0: `cpu_count()`). The report is written to `file` as
    JSON after every case, so that an interrupted run leaves its finished cases.

    Raises SpeechgruError for more threads than CPUs and a file that cannot be written.
    """
    machine, cases = this_machine(threads), grid.cases()
    if file:
        write_json(file, {})  # a wrong path is reported now rather than after minutes
    show(0, len(cases), "this machine's rates")
    rates = measure_rates(cases, TIMED_CELLS, machine.threads, _precisions())
    report = LayerReport(machine, versions(), rates, grid.rounds, notes=_missing())
    torch.set_num_threads(machine.threads)
    for done, case in enumerate(cases):
        if file:
            write_json(file, report.to_json())
        show(done, len(cases), str(case))
        report.results.append(_measure(case, report, timer or Timer()))
    if file:
        write_json(file, report.to_json())
    show(len(cases), len(cases), "")
    return report


def measure_floors(grid: Grid, threads: int) -> tuple[Processor, Rates, list[Case]]:
    """What the floors of a grid depend on; no layer runs."""
    machine, cases = this_machine(threads), grid.cases()
    return machine, measure_rates(cases, TIMED_CELLS, machine.threads, ("float32",)), cases


def _measure(case: Case, report: LayerReport, timer: Timer) -> CaseResult:
    training = case.kind == "training"
    entered, errors = [], {}
    contenders = [_contenders(case, cell, report.machine.threads) for cell in TIMED_CELLS]
    with torch.inference_mode(not training):
        for reference, *others in contenders:
            expected = outcome(reference)
            entered.append(reference)
            for one in others:
                error = difference(outcome(one), expected, training)
                if one.precision == "float32" and error > TOLERANCE[case.kind]:
                    report.mismatches.append(
                        f"{case}: {one.name} differs from torch.nn by {error:.1e}: not timed"
                    )
                    continue
                entered.append(one)
                errors[one.name] = error
        times = time_rounds(entered, report.rounds, timer)
    our_own = {one.name: one for one in entered if one.maker.startswith("ours")}
    floors = {
        name: floor(case, one.cell, report.rates, one.precision) for name, one in our_own.items()
    }
    cells = {name: (one.cell, one.precision) for name, one in our_own.items()}
    return CaseResult(case, times, errors, cells, floors)


def _contenders(case: Case, cell: str, threads: int) -> list[Contender]:
    """torch.nn's first."""
    shared = workload(case, cell)
    runtime = onnx_runtime(shared, threads)
    return [
        torch_nn(shared),
        *(ours(shared, precision) for precision in _precisions()),
        *([] if runtime is None else [runtime]),
    ]


def _precisions() -> list[str]:
    """Of the recurrent weights: float32, and what this machine has the instructions for."""
    reduced = kernels.PRECISIONS[1:]
    return ["float32", *(name for name in reduced if kernels.unsupported_reason(name) is None)]


def _missing() -> list[str]:
    notes = []
    if (reason := kernels.unsupported_reason()) is not None:
        notes.append(f"our kernels are not used ({reason}): `ours` is torch.nn's code")
    else:
        for name in kernels.PRECISIONS[1:]:
            if (reason := kernels.unsupported_reason(name)) is not None:
                notes.append(f"{name} is not timed: {reason}")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        notes.append(f"onnxruntime is not timed ({error}): pip install onnx onnxruntime")
    return notes
