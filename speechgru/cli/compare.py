"""`speechgru compare`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from speechgru.cli.console import out, print_wide, training_progress, warn
from speechgru.cli.options import Device, use_threads
from speechgru.cpus import cpu_count
from speechgru.errors import printable

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
    folder: Annotated[
        Path, typer.Option("--out", help="folder for the runs, results.json and report")
    ] = ...,  # type: ignore[assignment]
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
    from speechgru.errors import RecipeError
    from speechgru.recipe import load_recipe

    threads = threads or max(1, cpu_count() // jobs)
    use_threads(threads)
    from speechgru import compare as comparing

    if report_only:
        results = comparing.report(folder)
    elif recipe is None:
        raise RecipeError("which recipe? Give recipes/NAME, or --report-only for an old comparison")
    else:
        loaded = load_recipe(recipe, overrides or [])
        question = comparing.ask(
            loaded, vary, cells, seeds, str(test) if test else None, folds, match, tune
        )
        with training_progress() as show:
            results = comparing.compare(
                question, folder, comparing.Means(device, threads, jobs, cost, show)
            )
    show_comparison(results, folder)
    if results["failures"]:
        raise typer.Exit(1)


def show_comparison(results: dict[str, Any], folder: Path) -> None:
    """What results.json holds, as two tables and a line for each verdict."""
    table = Table(
        "variant", "width", "parameters", "s an epoch", f"{results['scored_on']} WER %",
        "SD over seeds", "95 % interval", "seeds",
        title=f"{results['question']['vary']}: equal recipe, data order and augmentation; "
        f"matched {results['question']['match']}",
    )  # fmt: skip
    times = results["timings"]["training"]
    for row in results["systems"]:
        seconds = times[row["name"]]["seconds_per_epoch"]
        cells = ["–", "–", "–", "0"]
        if "wer" in row:
            low, high = row["wer_ci95"]
            spread = "–" if row["wer_std"] is None else f"{100 * row['wer_std']:.2f}"
            cells = [
                f"{100 * row['wer_mean']:.2f}", spread, f"{100 * low:.2f}–{100 * high:.2f}",
                str(len(row["wer"])),
            ]  # fmt: skip
        table.add_row(
            row["name"], str(row["width"]), f"{row['parameters']:,}",
            "–" if seconds is None else f"{seconds:.1f}", *cells,
        )  # fmt: skip
    print_wide(table)
    for pair in results["pairs"]:
        out.print(pair["sentence"], markup=False)
    if results["pending"]:
        warn(f"not finished: {len(results['pending'])} runs are still to come")
    for name, reason in results["failures"].items():
        warn(f"failed: {name}: {reason}")
    out.print(f"wrote {printable(folder)}/results.json, report.html, report.md", markup=False)
