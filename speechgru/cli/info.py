"""`speechgru info`."""

from typing import Annotated

import typer

from speechgru.cli.console import show_information

app = typer.Typer()


@app.command(
    epilog="Example: `speechgru info recipes/an4 model.hidden_size=256`, `speechgru info runs/an4`"
)
def info(
    source: Annotated[str, typer.Argument(help="a run, a model file or a recipe")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="SECTION.KEY=VALUE", help="for a recipe")
    ] = None,
) -> None:
    """Size, work and latency of a model: trained, or as a recipe describes it."""
    from speechgru.info import describe

    show_information(describe(source, overrides or []))
