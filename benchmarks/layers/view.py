"""How the layer benchmark's results are printed."""

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.layers.bench import TIMED_CELLS, LayerReport
from benchmarks.layers.case import Case
from benchmarks.layers.machine import Processor
from benchmarks.layers.roofline import Rates, floor
from speechgru.cli.console import err, print_rows, print_wide, warn


def show_bench(report: LayerReport) -> None:
    """The machine, then per case a row for each of our layers: `torch.nn` and `onnxrt.` are the
    same cell there."""
    print_rows(report.facts())
    for note in report.notes:
        warn(note)
    table = _table(
        ("ours", "torch.nn", "onnxrt.", "× nn", "× nn.LSTM", "× onnxrt.", "floor", "÷ ours",
         "error"),
        f"milliseconds, medians of {report.rounds} rounds; ×: speed-up of ours",
    )  # fmt: skip
    for result in report.results:
        table.add_row(str(result.case))
        for row in result.rows():
            rival, ours = row.onnxruntime, row.ours
            table.add_row(
                f"  {row.cell}" + ("" if row.precision == "float32" else f" {row.precision}"),
                _ms(ours), _ms(row.torch_nn), "–" if rival is None else _ms(rival),
                f"{row.torch_nn / ours:.2f}", f"{row.torch_lstm / ours:.2f}",
                "–" if rival is None else f"{rival / ours:.2f}",
                _ms(row.floor), f"{row.floor / ours:.2f}", f"{row.error:.0e}",
            )  # fmt: skip
        table.add_section()
    print_wide(table)
    for mismatch in report.mismatches:
        err.print(f"speechgru: {mismatch}", style="red")


def show_floors(machine: Processor, rates: Rates, cases: list[Case]) -> None:
    """The machine, its rates, and each case's operations and floor."""
    print_rows(machine.facts() | rates.facts())
    table = _table(
        ("input", "recurrent", "KB", "floor"),
        "GFLOP of the products, recurrent weights of a direction, milliseconds",
    )
    for case in cases:
        passes = 3 if case.kind == "training" else 1
        table.add_row(str(case))
        for cell in TIMED_CELLS:
            table.add_row(
                f"  {cell}",
                f"{passes * case.input_operations(cell) / 1e9:.3f}",
                f"{passes * case.recurrent_operations(cell) / 1e9:.3f}",
                f"{case.recurrent_bytes(cell) / 1024:.0f}",
                _ms(floor(case, cell, rates)),
            )
    print_wide(table)


def _table(columns: tuple[str, ...], title: str) -> Table:
    table = Table("", box=SIMPLE, title=title)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"
