"""`speechgru prepare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from speechgru.cli.console import out, show_written, warn
from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.corpora import SummaryRow

app = typer.Typer()


@app.command(epilog="Example: `speechgru prepare an4 --source /data/an4`")
def prepare(
    name: Annotated[str, typer.Argument(help="digits, fsdd, an4 or librispeech")],
    source: Annotated[Path | None, typer.Option(help="the corpus as its makers ship it")] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="folder for manifests  [default: data/NAME]")
    ] = None,
    holdout: Annotated[
        str | None, typer.Option(help="fsdd: the speaker who is only in the test set")
    ] = None,
) -> None:
    """Make manifests from a corpus, and say what is in it."""
    from speechgru.corpora import prepare as prepare_corpus
    from speechgru.corpora import summary_rows, write_splits

    prepared = prepare_corpus(name, source, holdout)
    folder = folder or Path("data") / name
    files = write_splits(prepared, folder)
    show_corpus(name, summary_rows(prepared.splits), files, prepared.problems)
    if prepared.problems:
        raise typer.Exit(1)


def show_corpus(
    name: str, rows: Sequence["SummaryRow"], files: Sequence[Path], problems: Sequence[str]
) -> None:
    table = Table(
        *("split", "utterances", "hours", "speakers", "rates (Hz)"),
        Column("characters", overflow="fold"),  # all of them
        title=name,
    )
    for row in rows:
        table.add_row(
            row.split, f"{row.utterances:,}", f"{row.hours:.2f}", str(row.speakers),
            ", ".join(map(str, row.sample_rates)), printable("".join(row.characters)),
        )  # fmt: skip
    out.print(table)
    for problem in problems:
        warn(problem)
    if problems:
        warn(f"{len(problems)} left out")
    if files:
        show_written(files)
    else:
        out.print("the manifests are where they were read from, and stay as they are")
