"""`speechgru compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from speechgru.cli.console import numbers, out, print_wide, training_progress, warn
from speechgru.cli.options import Device, RecipeCommand, use_threads
from speechgru.cpus import cpu_count
from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.compare import Analysis

app = typer.Typer()


@app.command(
    cls=RecipeCommand,
    epilog="Example: `speechgru compare recipes/fsdd --cells gru,lstm --seeds 3 "
    "--test data/fsdd/test.jsonl --match params --out runs/cells`",
)
def compare(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="YAML file, folder with recipe.yaml, or recipes/NAME; needed unless --report-only"
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SECTION.KEY=VALUE",
            help="change recipe settings for all variants, e.g. training.epochs=20",
        ),
    ] = None,
    folder: Annotated[
        Path,
        typer.Option(
            "--out", help="folder for trainings, results and report; rerun to continue there"
        ),
    ] = ...,  # type: ignore[assignment]
    cells: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="recurrent cells to compare (docs/recipe.md lists them); the same as --vary "
            "model.cell=…  [default: rnn,gru,lstm]",
        ),
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=A,B",
            help="compare values of any recipe setting instead of cells, e.g. model.layers=2,3",
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="K",
            help="train each variant K times, with random seeds 1 to K; use 3 or more, because "
            "a single training may be better by chance",
        ),
    ] = 1,
    test: Annotated[
        Path | None,
        typer.Option(
            help="manifest of the test set, scored once per trained model  [default: score the "
            "dev set]"
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="speaker",
            help="leave one speaker out, for small data sets: pool all utterances; for each "
            "speaker, train on the others and test on this one",
        ),
    ] = None,
    match: Annotated[
        str,
        typer.Option(
            metavar="QUANTITY",
            help="what is equal for all variants: hidden-size (as in the recipe); or params "
            "(number of parameters), macs (multiply-adds), time (to recognise) "
            "or train-time, for which each variant gets a hidden size of its own; times are "
            "measured on --device",
        ),
    ] = "hidden-size",
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="lr[=A,B]",
            help="choose each variant's learning rate by its dev WER: lr tries ¼, ½, 1, 2 and 4 × "
            "the recipe's, lr=0.001,0.003 tries these  [default: the recipe's for all]",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="trainings that run at the same time, one process each")
    ] = 1,
    cost: Annotated[
        bool, typer.Option(help="measure speed and memory of each variant after the trainings")
    ] = True,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="rebuild the report in OUT without training")
    ] = False,
    device: Device = "auto",
    threads: Annotated[
        int, typer.Option(min=0, help="CPU threads per training (0 = all CPUs, divided by --jobs)")
    ] = 0,
) -> None:
    """Compare recurrent cells, or any other recipe setting, on your data: train every variant with
    the same recipe, data order and augmentation, and report which has the lowest word error rate
    and how certain that is.

    The same command continues after an interruption. Exit status 1: some trainings failed."""
    from speechgru.errors import RecipeError
    from speechgru.recipe_file import load_recipe

    threads = threads or max(1, cpu_count() // jobs)
    use_threads(threads)
    from speechgru import compare as comparing

    if not report_only:
        if recipe is None:
            raise RecipeError("no recipe given: expected recipes/NAME or a file, or --report-only")
        spec = comparing.parse(
            load_recipe(recipe, overrides or []),
            vary, cells, seeds, str(test) if test else None, folds, match, tune,
        )  # fmt: skip
        with training_progress() as show:
            options = comparing.RunOptions(device, threads, jobs, cost, show)
            comparing.run_comparison(spec, folder, options)
    analysis = comparing.write_report(folder)
    show_comparison(analysis, folder)
    if analysis.failures:
        raise typer.Exit(1)


def show_comparison(analysis: "Analysis", folder: Path) -> None:
    """The headline, the systems and the pairs; details are in the report."""
    from speechgru.compare.report import headline, pair_line, shown_pairs, warnings

    columns = numbers("WER %", "95 % interval", "CER %", "hidden size", "parameters", "s/epoch")
    table = Table("variant", *columns, box=SIMPLE_HEAD, pad_edge=False)
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
    print_wide(table)
    out.print(headline(analysis), style="bold")
    for pair in shown_pairs(analysis):
        out.print(pair_line(pair, len(analysis.pairs) > 1))
    for text in warnings(analysis).values():
        warn(f"warning: {text}")
    for name, reason in analysis.failures.items():
        warn(f"failed: {name}: {reason}")
    out.print(f"wrote {printable(folder)}/results.json, report.html, report.md")
