"""What a person sees: tables, progress, warnings. No figure is computed here."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.training import Progress as TrainingStep

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
WIDE = 200  # columns of a table that no line may be broken in


class LogHandler(logging.Handler):
    """The package's log lines: warnings in colour, both above a running progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno >= logging.WARNING else None
        err.print(printable(self.format(record)), style=style, markup=False)


def warn(message: str) -> None:
    err.print(message, style="yellow", markup=False)


def show_written(files: Sequence[Path]) -> None:
    out.print("wrote " + ", ".join(printable(file) for file in files), markup=False)


@contextmanager
def training_progress() -> Iterator[Callable[["TrainingStep"], None]]:
    """A live line, within 80 columns, while a training runs on a terminal; epochs are logged above
    it."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(7),
        TextColumn("loss {task.fields[loss]:.2f}{task.fields[dev]}"),
        TextColumn("{task.fields[speed]:.0f}× real time  {task.fields[eta]} left"),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", epoch="", loss=0.0, dev="", speed=0.0, eta="?", visible=False)

        def show(step: "TrainingStep") -> None:
            bar.update(
                task, total=step.steps, completed=step.step, visible=True,
                epoch=f"{step.epoch}/{step.epochs}", loss=step.loss, speed=step.speed,
                dev="" if step.best_dev_wer is None else f"  best WER {step.best_dev_wer:.1%}",
                eta=clock(step.eta),
            )  # fmt: skip

        yield show


def show_information(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        out.print(f"{name:{width}}  {value}", markup=False)


@contextmanager
def counting_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A live line on a terminal: measurements done, of how many, what is under way, time left."""
    columns = (
        TextColumn("{task.completed} of {task.total}"), BarColumn(24),
        TextColumn("{task.description}", markup=False), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, total=total, completed=done, description=printable(name), visible=True)

        yield show


def print_wide(table: Table) -> None:
    """With no line broken: a narrow terminal breaks it, a file keeps it whole."""
    for column in table.columns:
        column.no_wrap = True
    table.width = out.measure(table, options=out.options.update(max_width=WIDE)).maximum
    out.print(table)


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
