"""`speechgru train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import clock, out, training_progress, warn
from speechgru.cli.options import Device, RecipeCommand, Threads, stored_form, use_threads
from speechgru.errors import plural, printable

if TYPE_CHECKING:
    from speechgru.training.loop import TrainingResult

app = typer.Typer()


@app.command(
    cls=RecipeCommand,
    epilog="Example: `speechgru train recipes/an4 model.cell=lstm training.epochs=40 --out runs/a`",
)
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="YAML file, folder with recipe.yaml, or recipes/NAME, which is installed with "
            "speechgru"
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="SECTION.KEY=VALUE", help="change settings of the recipe"),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--out", help="run folder: the model, curves and training state")
    ] = ...,  # type: ignore[assignment]
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="fine-tune this model (a run folder or file) to the recipe's data",
            callback=stored_form,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue the run in --out")] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train a model with the settings of a recipe; docs/recipe.md has all settings.

    Ctrl-C saves the training state; the same command with --resume continues it. The data and the
    run folder may have moved in between; settings that change the result must stay the same. Unless
    --threads is stated, the training of a small model leaves one CPU to loading."""
    from speechgru.recipe_file import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    use_threads(threads)
    from speechgru.training.loop import train as run_training

    with training_progress() as show:
        result = run_training(loaded, folder, device, resume, show, init, threads)
    show_training(result)
    if result.interrupted:
        raise typer.Exit(130)


def show_training(result: "TrainingResult") -> None:
    folder = printable(result.folder)
    if result.interrupted:
        warn(f"interrupted after {plural(result.epochs, 'epoch')}; rerun with --resume to continue")
        return
    out.print(
        f"dev WER {100 * result.dev_wer:.2f} % after {plural(result.epochs, 'epoch')} in "
        f"{clock(result.seconds)}; "
        f"model in {folder}",
    )
    if result.weights == "epoch 0":
        warn("no epoch was better on dev than the initial model, which is kept")
