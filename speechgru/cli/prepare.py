"""`speechgru prepare`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="Example: `speechgru prepare an4 --source /data/an4`")
def prepare(
    name: Annotated[str, typer.Argument(help="digits, fsdd, an4 or librispeech")],
    source: Annotated[Path | None, typer.Option(help="the corpus as its makers ship it")] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for manifests  [default: data/NAME]")
    ] = None,
    holdout: Annotated[
        str | None, typer.Option(help="fsdd: the speaker who is only in the test set")
    ] = None,
) -> None:
    """Make manifests from a corpus, and say what is in it."""
    from speechgru.cli import console
    from speechgru.corpora import prepare as prepare_corpus
    from speechgru.corpora import summary_rows, write_splits

    prepared = prepare_corpus(name, source, holdout)
    folder = out or Path("data") / name
    files = write_splits(prepared, folder)
    console.show_corpus(name, summary_rows(prepared.splits), files, prepared.problems)
    if prepared.problems:
        raise typer.Exit(1)
