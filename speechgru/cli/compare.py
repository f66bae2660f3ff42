"""`speechgru compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from speechgru.cli.console import out, training_progress, warn
from speechgru.cli.options import Device, use_threads
from speechgru.cpus import cpu_count
from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.compare import Analysis

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
        analysis = comparing.write_report(folder)
    elif recipe is None:
        raise RecipeError("which recipe? Give recipes/NAME, or --report-only for an old comparison")
    else:
        loaded = load_recipe(recipe, overrides or [])
        question = comparing.ask(
            loaded, vary, cells, seeds, str(test) if test else None, folds, match, tune
        )
        with training_progress() as show:
            analysis = comparing.compare(
                question, folder, comparing.Means(device, threads, jobs, cost, show)
            )
    show_comparison(analysis, folder)
    if analysis.failures:
        raise typer.Exit(1)


def show_comparison(analysis: "Analysis", folder: Path) -> None:
    """The headline, the systems and the pairs; details are in the report."""
    from speechgru.compare.report import headline, pair_line, shown_pairs, warnings

    numbers = [Column(name, justify="right", no_wrap=True) for name in
               ("WER %", "95 % interval", "CER %", "hidden size", "parameters", "s/epoch")]  # fmt: skip
    table = Table(Column("variant", overflow="fold"), *numbers, box=SIMPLE_HEAD, pad_edge=False)
    for system in analysis.systems:
        cells = ["–", "–", "–"]
        if rates := system.rates:
            low, high = rates.wer_ci95
            interval = f"{100 * low:.2f} to {100 * high:.2f}"
            cells = [f"{100 * rates.wer_mean:.2f}", interval, f"{100 * rates.cer_mean:.2f}"]
        seconds = analysis.seconds_per_epoch.get(system.name)
        table.add_row(
            system.name, *cells, str(system.size.hidden_size), f"{system.size.parameters:,}",
            "–" if seconds is None else f"{seconds:.1f}",
        )  # fmt: skip
    out.print(table)
    out.print(headline(analysis), markup=False, style="bold")
    for pair in shown_pairs(analysis):
        out.print(pair_line(pair, len(analysis.pairs) > 1), markup=False)
    for text in warnings(analysis).values():
        warn(f"warning: {text}")
    for name, reason in analysis.failures.items():
        warn(f"failed: {name}: {reason}")
    out.print(f"wrote {printable(folder)}/results.json, report.html, report.md", markup=False)
