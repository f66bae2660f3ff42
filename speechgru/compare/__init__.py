"""Compares variants of one recipe on equal terms: `spec` says what is compared, `plan` fixes every
choice before training (`folds`, `matching`), `runner` trains and scores (`cost` measures),
`analysis` computes (`convergence`), `report` presents."""

from speechgru.compare.analysis import Analysis
from speechgru.compare.report import write_report
from speechgru.compare.runner import RunOptions, run_comparison
from speechgru.compare.spec import ComparisonSpec, parse

__all__ = ["Analysis", "ComparisonSpec", "RunOptions", "parse", "run_comparison", "write_report"]
