"""`speechgru compare`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.options import Device, use_threads

app = typer.Typer()


@app.command(
    epilog="Example: `speechgru compare recipes/fsdd --cells gru,lstm --seeds 3 "
    "--test data/fsdd/test.jsonl --match params --out runs/cells`"
)
def compare(
    recipe: Annotated[
        str | None, typer.Argument(help="recipes/NAME, a folder with recipe.yaml, or a file")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="SECTION.KEY=VALUE", help="change values")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the runs, results.json and report")] = ...,  # type: ignore[assignment]
    cells: Annotated[str, typer.Option(help="short for --vary model.cell=…")] = "rnn,gru,lstm",
    vary: Annotated[
        str | None, typer.Option(metavar="KEY=A,B", help="any recipe setting, e.g. features.kind")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="trainings a variant: seeds 1, 2, …")] = 1,
    test: Annotated[
        Path | None, typer.Option(help="manifest to score once at the end  [default: dev]")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="speaker: a model a held-out speaker, words pooled")
    ] = None,
    match: Annotated[
        str, typer.Option(help="solve each width for equal params, macs, time or train-time")
    ] = "width",
    tune: Annotated[
        str | None, typer.Option(help="lr, or lr=0.001,0.003: the same grid for all, on dev")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="trainings at a time, one process each")] = 1,
    cost: Annotated[
        bool, typer.Option(help="measure times and memory when the grid is through")
    ] = True,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="rebuild the report from OUT/results")
    ] = False,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads a training; 0: all, shared")] = 0,
) -> None:
    """Train the same recipe in variants, on equal terms, and say which is better and how surely.

    The same command goes on after a kill; what is finished is skipped."""
    from speechgru.cli import console
    from speechgru.errors import RecipeError
    from speechgru.recipe import load_recipe

    threads = threads or max(1, len(os.sched_getaffinity(0)) // jobs)
    use_threads(threads)
    from speechgru import compare as comparing

    if report_only:
        results = comparing.report(out)
    elif recipe is None:
        raise RecipeError("which recipe? Give recipes/NAME, or --report-only for an old comparison")
    else:
        loaded = load_recipe(recipe, overrides or [])
        question = comparing.ask(
            loaded, vary, cells, seeds, str(test) if test else None, folds, match, tune
        )
        with console.training_progress() as show:
            results = comparing.compare(
                question, out, comparing.Means(device, threads, jobs, cost, show)
            )
    console.show_comparison(results, out)
    if results["failures"]:
        raise typer.Exit(1)
