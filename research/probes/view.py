"""How a probe's finding is printed."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table

from research.probes.finding import Finding
from speechgru.cli.console import out, print_wide, show_written


def show_finding(finding: Finding, files: Sequence[Path]) -> None:
    out.print(f"The claim: {finding.claim}", markup=False)
    out.print(finding.method, markup=False)
    for found in finding.tables:
        table = Table(*found.head, box=SIMPLE, title=found.caption, title_justify="left")
        for row in found.rows:
            table.add_row(*row)
        print_wide(table)
    show_written(files)
