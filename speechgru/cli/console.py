"""Printing shared by several commands: lines, rows, tables, progress. No figure is computed here.

Results go to standard output, progress and problems to standard error.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.training.loop import TrainingProgress

# Names and texts are printed as they are, whatever brackets and colons are in them.
out = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, markup=False)
WIDE = 200  # columns of a wide table


class LogHandler(logging.Handler):
    """Prints the package's log records, warnings in colour, above a running progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno >= logging.WARNING else None
        err.print(printable(self.format(record)), style=style)


def warn(message: str) -> None:
    err.print(message, style="yellow")


def note(message: str) -> None:
    """On standard error: not a result."""
    err.print(message)


def show_error(error: Exception) -> None:
    err.print(f"speechgru: {error}", style="red")


def show_written(files: Sequence[Path]) -> None:
    out.print("wrote " + ", ".join(printable(file) for file in files))


def print_rows(rows: dict[str, str]) -> None:
    """Names, and values in a column of their own."""
    width = max(map(len, rows))
    for name, value in rows.items():
        out.print(f"{name:{width}}  {value}")


def numbers(*names: str) -> list[Column]:
    """Columns of a table, aligned to the right."""
    return [Column(name, justify="right") for name in names]


def print_wide(table: Table) -> None:
    """Without breaking a line at the width of the terminal, or at 80 columns in a file."""
    for column in table.columns:
        column.no_wrap = True
    table.width = out.measure(table, options=out.options.update(max_width=WIDE)).maximum
    out.print(table)


@contextmanager
def counting_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on a terminal: call it with how many are done, of how many, and a name."""
    columns = (
        TextColumn("{task.completed} of {task.total}"), BarColumn(24), TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )  # fmt: skip
    with _progress(*columns) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, total=total, completed=done, description=printable(name), visible=True)

        yield show


@contextmanager
def training_progress() -> Iterator[Callable[["TrainingProgress"], None]]:
    """A progress bar on a terminal, within 80 columns; epochs are logged above it."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(7),
        TextColumn("loss {task.fields[loss]:.2f}{task.fields[dev]}"),
        TextColumn("{task.fields[speed]:.0f}× real time  {task.fields[eta]} left"),
    )  # fmt: skip
    with _progress(*columns) as bar:
        task = bar.add_task("", epoch="", loss=0.0, dev="", speed=0.0, eta="?", visible=False)

        def show(step: "TrainingProgress") -> None:
            bar.update(
                task, total=step.steps, completed=step.step, visible=True,
                epoch=f"{step.epoch}/{step.epochs}", loss=step.loss, speed=step.speed,
                dev="" if step.best_dev_wer is None else f"  best WER {step.best_dev_wer:.1%}",
                eta=clock(step.eta),
            )  # fmt: skip

        yield show


def _progress(*columns: ProgressColumn) -> Progress:
    """On standard error. Lines for standard output are printed above it only when that is the
    terminal too: otherwise they would be sent to standard error."""
    return Progress(
        *columns,
        console=err,
        transient=True,
        disable=not err.is_terminal,
        redirect_stdout=out.is_terminal,
    )


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
