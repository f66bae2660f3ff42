"""`speechgru train`."""

from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.options import Device, Threads, use_threads

app = typer.Typer()


@app.command(
    epilog="Example: `speechgru train recipes/an4 model.cell=lstm training.epochs=40 --out runs/a`"
)
def train(
    recipe: Annotated[
        str, typer.Argument(help="recipes/NAME, a folder with recipe.yaml, or a file")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="SECTION.KEY=VALUE", help="change values")
    ] = None,
    out: Annotated[Path, typer.Option(help="run folder to write")] = ...,  # type: ignore[assignment]
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out")] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train a model by recipe. Ctrl-C saves; --resume goes on."""
    from speechgru.cli import console
    from speechgru.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    use_threads(threads)
    from speechgru.training import train as run_training

    with console.training_progress() as show:
        result = run_training(loaded, out, device, resume, show)
    console.show_training(result)
    if result.interrupted:
        raise typer.Exit(130)
