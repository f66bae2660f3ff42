"""The command line of `python -m benchmarks.layers`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})


@app.command(epilog="Example: `python -m benchmarks.layers --hidden 256 --batch 1 --cases forward`")
def layers(
    json: Annotated[
        Path | None, typer.Option("--json", help="also write all figures to this file")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="hidden size 256; 1 and 16 rows; bidirectional; chunks")
    ] = False,
    floors: Annotated[
        bool, typer.Option("--floors", help="only the machine's rates and each case's floor")
    ] = False,
    hidden: Annotated[
        str, typer.Option(help="hidden sizes, comma-separated  [default: 128,256,512]")
    ] = "",
    batch: Annotated[
        str, typer.Option(help="rows of forward passes, comma-separated  [default: 1,4,16,32]")
    ] = "",
    directions: Annotated[
        str, typer.Option(help="1, 2 or 1,2; chunks always have 1  [default: 1,2]")
    ] = "",
    cases: Annotated[
        str, typer.Option(help="forward, chunk, training, comma-separated  [default: all]")
    ] = "",
    threads: Annotated[
        int, typer.Option(min=0, help="number of CPU threads (0 = all available CPUs)")
    ] = 0,
) -> None:
    """Time our recurrent layers against torch.nn, onnxruntime and the limits of this machine."""
    from benchmarks.layers.bench import bench_layers, measure_floors
    from benchmarks.layers.grid import choose
    from benchmarks.layers.view import show_bench, show_floors
    from speechgru.cli import console

    grid = choose(quick, hidden, batch, directions, cases)
    if floors:
        show_floors(*measure_floors(grid, threads))
        return
    with console.counting_progress() as show:
        report = bench_layers(grid, threads, json, show)
    show_bench(report)
    if report.mismatches:
        raise typer.Exit(1)
