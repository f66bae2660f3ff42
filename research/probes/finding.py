"""Measurements on disk, and the tables and figures that summarise them."""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from speechgru.cells import CELLS
from speechgru.charts import to_svg
from speechgru.errors import SpeechgruError
from speechgru.files import atomic_write, write_json

Record = dict[str, Any]  # settings and results of one measurement, as plain JSON values
Progress = Callable[[int, int, str], None]  # jobs done, jobs in total, name of the current one


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range over several models."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.median:.3g}"
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def spread(values: Sequence[float | None]) -> Spread | None:
    """None if a value is missing: the median of the others would misrepresent the group."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return Spread(median(known), min(known), max(known))


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    rows: list[dict[str, str | int | Spread | None]]  # column → value


@dataclass(frozen=True)
class Finding:
    """Summary of a probe."""

    name: str
    tables: list[Table]
    figures: dict[str, Figure]

    def write(self, folder: Path) -> list[Path]:
        """Writes NAME.json and one SVG file per figure; returns their paths."""
        files = [folder / f"{self.name}.json"]
        write_json(files[0], {"probe": self.name, "tables": [asdict(t) for t in self.tables]})
        for name, figure in self.figures.items():
            files.append(folder / f"{name}.svg")
            atomic_write(files[-1], to_svg(figure))
        return files


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement; its settings are everything that can change the results."""

    settings: Record
    measure: Callable[[], Record]


def read_records(path: Path) -> list[Record]:
    """One JSON object per line. Raises SpeechgruError."""
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise SpeechgruError(f"{path}: expected one JSON object per line: {error}") from None


def complete(path: Path, jobs: Sequence[Job], show: Progress) -> list[Record]:
    """The records of all jobs, in order. What is in `path` already is not measured again, so an
    interrupted probe continues."""
    kept = read_records(path) if os.path.exists(path) else []
    records = []
    for done, job in enumerate(jobs):
        settings = job.settings
        same = (each for each in kept if {**each, **settings} == each)
        record = next(same, None)
        if record is None:
            show(done, len(jobs), f"{settings['cell']} {settings['seed']}")
            record = settings | rounded(job.measure())
            kept.append(record)
            lines = (json.dumps(each, ensure_ascii=False, allow_nan=False) for each in kept)
            atomic_write(path, "\n".join(lines) + "\n")
        records.append(record)
    show(len(jobs), len(jobs), "")
    return records


def grouped(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by cell, and by state where there is one.

    Raises SpeechgruError for models of one cell that differ in shape: they must not be averaged.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        label = ", ".join(record[key] for key in ("cell", "state") if key in record)
        groups.setdefault(label, []).append(record)
    for label, models in groups.items():
        shapes = sorted({record["shape"] for record in models})
        if len(shapes) > 1:
            raise SpeechgruError(
                f"{label}: found models of {'; '.join(shapes)}; probe one at a time"
            )
    return groups


def rounded(value: Any) -> Any:
    """Floats to four significant digits, also inside lists and dicts; NaN and infinity to None."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return value


@dataclass(frozen=True, slots=True)
class Curves:
    """One line of a figure: the curves of several models over the same x; None is a gap."""

    label: str  # begins with the cell
    x: Sequence[float]
    y: Sequence[Sequence[float | None]]


def plot(title: str, lines: Sequence[Curves], x_label: str, y_label: str) -> Figure:
    """Medians over models, with bands from the lowest to the highest; untrained models dashed."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot(title=title, xlabel=x_label, ylabel=y_label)
    for line in lines:
        y = np.array(line.y, float)
        number = list(CELLS).index(line.label.split(",")[0])
        style = "--" if "untrained" in line.label else "-" if number < 10 else ":"
        axes.plot(line.x, np.median(y, 0), f"C{number % 10}{style}", label=line.label)
        axes.fill_between(line.x, y.min(0), y.max(0), color=f"C{number % 10}", alpha=0.18, lw=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    return figure
