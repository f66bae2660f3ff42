"""`speechgru bench cells`: our layers against torch.nn's and onnxruntime's, and the floor."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.layers.case import Case
from benchmarks.layers.contenders import Contender, material, onnx_runtime, ours, theirs
from benchmarks.layers.grid import Grid
from benchmarks.layers.machine import Machine, this_machine, versions
from benchmarks.layers.roofline import Rates, floor, measure_rates
from benchmarks.layers.rounds import Timer, difference, outcome, time_rounds
from speechgru import kernels
from speechgru.files import write_json

CELLS = ("gru", "lstm", "rnn")
TOLERANCE = {"forward": 1e-4, "chunk": 1e-4, "training": 1e-3}
"""Of `difference`: a float32 contender that computes something else is not timed."""
Show = Callable[[int, int, str], None]  # cases done, cases in all, what is under way


@dataclass(frozen=True)
class Row:
    """One of our layers in one case, as the table shows it; seconds, None where there is none."""

    case: Case
    cell: str
    precision: str
    ours: float
    torch_nn: float
    torch_lstm: float
    onnxruntime: float | None
    floor: float
    error: float  # see `difference`

    @property
    def full(self) -> bool:
        return self.precision == "float32"


@dataclass(frozen=True)
class Result:
    """One case: seconds of every round, and what holds of our layers, by contenders' names."""

    case: Case
    times: dict[str, list[float]]
    errors: dict[str, float]  # against torch.nn's float32
    ours: dict[str, tuple[str, str]]  # cell and precision
    floors: dict[str, float]  # of ours

    def seconds(self, name: str) -> float:
        return median(self.times[name])

    def rows(self) -> list[Row]:
        """Ours, cell by cell."""
        found = []
        for name, (cell, precision) in self.ours.items():
            rival = f"onnxruntime {cell}"
            found.append(Row(
                self.case, cell, precision, self.seconds(name),
                self.seconds(f"torch.nn {cell}"), self.seconds("torch.nn lstm"),
                self.seconds(rival) if rival in self.times else None,
                self.floors[name], self.errors[name],
            ))  # fmt: skip
        return found

    def to_json(self) -> dict[str, Any]:
        """Milliseconds; ratios are how many times faster ours is."""
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
class Report:
    """One run: everything that its figures depend on, and the figures."""

    machine: Machine
    versions: dict[str, str]
    rates: Rates
    rounds: int
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # who could not take part
    faults: list[str] = field(default_factory=list)  # who computed something else

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
            "faults": self.faults,
            "cases": [result.to_json() for result in self.results],
        }


def bench_cells(
    grid: Grid, threads: int, file: Path | None, show: Show, timer: Timer | None = None
) -> Report:
    """Measure the grid on `threads` threads (0: one a processor); `file` gets the report as JSON
    after every case, so that an interrupted run leaves what it has.

    Raises SpeechgruError for more threads than processors and a file that cannot be written.
    """
    machine, cases = this_machine(threads), grid.cases()
    if file:
        write_json(file, {})  # now, not in some minutes, is when a folder is found missing
    show(0, len(cases), "this machine's rates")
    rates = measure_rates(cases, CELLS, machine.threads, _precisions())
    report = Report(machine, versions(), rates, grid.rounds, notes=_absent())
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


def _measure(case: Case, report: Report, timer: Timer) -> Result:
    training = case.kind == "training"
    entered, errors = [], {}
    # Outside inference mode: weights made within count no writes, and ours would pack them anew
    # at every call.
    fields = [_contenders(case, cell, report.machine.threads) for cell in CELLS]
    with torch.inference_mode(not training):
        for reference, *others in fields:
            expected = outcome(reference)
            entered.append(reference)
            for one in others:
                error = difference(outcome(one), expected, training)
                if one.precision == "float32" and error > TOLERANCE[case.kind]:
                    report.faults.append(
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
    return Result(case, times, errors, cells, floors)


def _contenders(case: Case, cell: str, threads: int) -> list[Contender]:
    """torch.nn's first."""
    shared = material(case, cell)
    precisions = ("float32",) if case.kind == "training" else _precisions()
    runtime = onnx_runtime(shared, threads)
    return [
        theirs(shared),
        *(ours(shared, precision) for precision in precisions),
        *([] if runtime is None else [runtime]),
    ]


def _precisions() -> list[str]:
    """Of the recurrent weights: float32, and what this machine has the instructions for."""
    reduced = kernels.PRECISIONS[1:]
    return ["float32", *(name for name in reduced if kernels.unsupported_reason(name) is None)]


def _absent() -> list[str]:
    notes = []
    if (reason := kernels.unsupported_reason()) is not None:
        notes.append(f"our kernels are off ({reason}): ours is torch.nn's code")
    else:
        unsupported_reason = [
            (name, kernels.unsupported_reason(name)) for name in kernels.PRECISIONS
        ]
        notes += [
            f"no {name}: {reason}" for name, reason in unsupported_reason if reason is not None
        ]
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as fault:
        notes.append(f"onnxruntime takes no part ({fault}): pip install onnx onnxruntime")
    return notes
