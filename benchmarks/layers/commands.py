"""`python -m benchmarks.layers`: imports inside the functions, no logic."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Timing on this machine.")


@app.command(epilog="Example: `python -m benchmarks.layers --hidden 256 --batch 1 --cases forward`")
def cells(
    json: Annotated[Path | None, typer.Option("--json", help="also write all figures here")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="256 units; 1 or 16 rows; two-way; a chunk")
    ] = False,
    hidden: Annotated[str, typer.Option(help="units, by commas  [default: 128,256,512]")] = "",
    batch: Annotated[
        str, typer.Option(help="rows of forward passes, by commas  [default: 1,4,16,32]")
    ] = "",
    directions: Annotated[
        str, typer.Option(help="1, 2 or both, of all but chunks  [default: 1,2]")
    ] = "",
    cases: Annotated[
        str, typer.Option(help="of forward, chunk, training, by commas  [default: all]")
    ] = "",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: one a CPU")] = 0,
) -> None:
    """Our recurrent layers against torch.nn's, onnxruntime's and this machine's arithmetic."""
    from benchmarks.layers.cells import bench_cells
    from benchmarks.layers.grid import choose
    from benchmarks.layers.view import show_bench
    from speechgru.cli import console

    grid = choose(quick, hidden, batch, directions, cases)
    with console.counting_progress() as show:
        report = bench_cells(grid, threads, json, show)
    show_bench(report)
    if report.faults:
        raise typer.Exit(1)
