"""What every probe hands back, and how several models' curves become one line with its band."""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from speechgru.errors import SpeechgruError
from speechgru.figures import Axis, Series, line_chart, standalone
from speechgru.files import atomic_write, write_json

Curve = Sequence[float | None]  # None where nothing could be measured
Row = dict[str, Any]  # plain JSON values
Show = Callable[[int, int, str], None]  # jobs done, jobs in all, what is under way


@dataclass(frozen=True, slots=True)
class Table:
    """What was found, to be read: the first column says of whom."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """Each row as a sentence, for who cannot see a chart."""
        return [
            f"{name}: {'; '.join(map(' '.join, zip(self.head[1:], cells, strict=True)))}"
            for name, *cells in self.rows
        ]


@dataclass(frozen=True)
class Finding:
    """Numbers, figures, tables of what they say, and the claim they bear on."""

    name: str
    claim: str  # of the article, in our words
    method: str  # what was measured, and how
    tables: tuple[Table, ...]
    numbers: dict[str, Any]  # plain JSON values
    figures: dict[str, str]  # name → one <svg> element

    def to_json(self) -> dict[str, Any]:
        return {
            "probe": self.name,
            "claim": self.claim,
            "method": self.method,
            "tables": [asdict(table) for table in self.tables],
            "numbers": self.numbers,
            "figures": [f"{name}.svg" for name in self.figures],
        }

    def write(self, folder: Path) -> list[Path]:
        """NAME.json and an SVG file a figure. Raises SpeechgruError when they cannot be written."""
        files = [folder / f"{self.name}.json"]
        write_json(files[0], self.to_json())
        for name, svg in self.figures.items():
            files.append(folder / f"{name}.svg")
            atomic_write(files[-1], standalone(svg))
        return files


class Rows:
    """Finished measurements, one JSON object a line: a killed probe goes on with the next one.

    A row is found again by its key: every setting that could change its figures.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.all: list[Row] = []
        if path is not None and os.path.exists(path):
            try:
                self.all = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            except (OSError, ValueError) as fault:
                raise SpeechgruError(
                    f"{path}: not the rows of a probe ({fault}); move it away"
                ) from None

    def find(self, key: Row) -> Row | None:
        for row in self.all:
            if all(name in row and row[name] == value for name, value in key.items()):
                return row
        return None

    def add(self, key: Row, values: Row) -> Row:
        row = key | {name: rounded(value) for name, value in values.items()}
        self.all.append(row)
        if self.path is not None:
            lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in self.all)
            atomic_write(self.path, "\n".join(lines) + "\n")
        return row


@dataclass(frozen=True, slots=True)
class Job:
    """One row to be measured, by a call that takes a while."""

    key: Row
    measure: Callable[[], Row]


def complete(rows: Rows, jobs: Sequence[Job], show: Show) -> list[Row]:
    """The rows of all jobs, in order; those already there are not measured again."""
    found = []
    for done, job in enumerate(jobs):
        row = rows.find(job.key)
        if row is None:
            names = ("cell", "state", "task", "length", "input", "seed")
            show(done, len(jobs), " ".join(str(job.key[n]) for n in names if n in job.key))
            row = rows.add(job.key, job.measure())
        found.append(row)
    show(len(jobs), len(jobs), "")
    return found


def grouped(rows: Sequence[Row], label: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Rows that may be summed up together: of one label and of models of one shape, which the
    label names where it has several."""
    shapes: dict[str, set[str]] = {}
    for row in rows:
        shapes.setdefault(label(row), set()).add(row["shape"])
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = label(row)
        several = len(shapes[name]) > 1
        found.setdefault(f"{name} ({row['shape']})" if several else name, []).append(row)
    return found


def rounded(value: Any) -> Any:
    """Floats to four digits, in lists and mappings too; NaN and infinity to None."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return value


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends over several models."""

    median: float
    low: float
    high: float

    def told(self, digits: int = 3) -> str:
        if self.low == self.high:
            return f"{self.median:.{digits}g}"
        return f"{self.median:.{digits}g} ({self.low:.{digits}g} to {self.high:.{digits}g})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


def banded(
    name: str, x: Sequence[float], curves: Sequence[Curve], colour: int, dashed: bool = False
) -> Series:
    """The median of the curves at each x, between the lowest and the highest of them; a gap where
    one of them has no value."""
    middle, low, high = [], [], []
    for values in zip(*curves, strict=True):
        known = [value for value in values if value is not None]
        whole = len(known) == len(values)
        middle.append(median(known) if whole else math.nan)
        low.append(min(known) if whole else math.nan)
        high.append(max(known) if whole else math.nan)
    return Series(name, x, middle, low, high, colour, dashed)


def chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, models: str, words: Sequence[str] = ()
) -> str:
    """A line chart of medians and ranges; `models` says over what they are taken."""
    told = " ".join([f"Line: median over {models}; band: lowest to highest.", *words])
    return line_chart(title, told, series, x, y)
