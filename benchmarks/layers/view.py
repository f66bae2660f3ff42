"""How the layer benchmark's report is printed."""

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.layers.cells import Report
from speechgru.cli.console import err, print_rows, print_wide, warn


def show_bench(report: Report) -> None:
    """The machine, then for every case a line for each of our layers: theirs is the same cell of
    torch.nn and onnxruntime, and nn.LSTM for all."""
    print_rows(report.facts())
    for note in report.notes:
        warn(note)
    table = Table(
        "", "ours", "torch.nn", "onnxrt.", "× nn", "× nn.LSTM", "× onnxrt.", "floor", "÷ ours",
        "error", box=SIMPLE,
        title=f"milliseconds, medians of {report.rounds} rounds; ×: how many times faster ours is",
    )  # fmt: skip
    for column in table.columns:
        column.justify = "left" if column is table.columns[0] else "right"
    for result in report.results:
        table.add_row(str(result.case))
        for row in result.rows():
            rival, ours = row.onnxruntime, row.ours
            table.add_row(
                f"  {row.cell}" + ("" if row.full else f" {row.precision}"),
                _ms(ours), _ms(row.torch_nn), "–" if rival is None else _ms(rival),
                f"{row.torch_nn / ours:.2f}", f"{row.torch_lstm / ours:.2f}",
                "–" if rival is None else f"{rival / ours:.2f}",
                _ms(row.floor), f"{row.floor / ours:.2f}", f"{row.error:.0e}",
            )  # fmt: skip
        table.add_section()
    print_wide(table)
    for fault in report.faults:
        err.print(f"speechgru: {fault}", style="red", markup=False)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"
