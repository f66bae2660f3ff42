"""`speechgru prepare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from speechgru.cli.console import out, show_written, warn
from speechgru.cli.options import check_outputs
from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.corpora import SummaryRow

app = typer.Typer()


@app.command(epilog="Example: `speechgru prepare an4 --source /data/an4`")
def prepare(
    name: Annotated[
        str,
        typer.Argument(help="digits, fsdd, an4, librispeech, or a layout as in `speechgru init`"),
    ],
    source: Annotated[
        Path | None,
        typer.Option(help="folder of the corpus as distributed; digits needs none"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="folder for the manifests  [default: data/NAME]")
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(help="fsdd only: a speaker who is in the test set and in no other set"),
    ] = None,
) -> None:
    """Write the manifests of a corpus (train.jsonl, dev.jsonl, test.jsonl); print what is in it."""
    from speechgru.corpora import prepare as prepare_corpus
    from speechgru.corpora import summary_rows, write_splits

    folder = folder or Path("data") / name
    check_outputs(folder / "train.jsonl")
    prepared = prepare_corpus(name, source, holdout)
    files = write_splits(prepared, folder)
    for text in prepared.notes:
        out.print(printable(text))
    show_corpus(name, summary_rows(prepared.splits), files, prepared.problems)
    if files:
        sets = (folder / f"{name}.jsonl" for name in ("train", "dev", "test", "all"))
        if left := [printable(file) for file in sets if file not in files and file.exists()]:
            warn(f"{', '.join(left)}: from an earlier run; delete what is not needed")
        out.print(f"next: speechgru audit {' '.join(printable(file) for file in files)}")
    if prepared.problems:
        raise typer.Exit(1)


def show_corpus(
    name: str, rows: Sequence["SummaryRow"], files: Sequence[Path], problems: Sequence[str]
) -> None:
    """A table of the splits, the problems found, and what was written."""
    table = Table(
        *("split", "utterances", "hours", "speakers", "rates (Hz)"),
        Column("characters", overflow="fold"),  # never shortened
        title=name,
    )
    for row in rows:
        table.add_row(
            row.split, f"{row.utterances:,}", f"{row.hours:.2f}", str(row.speakers),
            ", ".join(map(str, row.sample_rates)), printable(row.characters),
        )  # fmt: skip
    out.print(table)
    for problem in problems:
        warn(problem)
    if problems:
        warn(f"{len(problems)} utterances are excluded")
    if empty := [row.split for row in rows if not row.utterances]:
        warn(f"no utterances, so no manifest: {', '.join(empty)}")
    if files:
        show_written(files)
    else:
        out.print("the manifests are already in place; nothing is written")
