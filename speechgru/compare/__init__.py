"""Compares variants of one recipe on equal terms: `spec` says what is compared, `plan` fixes every
choice before training, `grid` trains and scores, `analysis` computes, `report` presents."""

from speechgru.compare.analysis import Analysis
from speechgru.compare.grid import Means, compare
from speechgru.compare.question import Question, ask
from speechgru.compare.report import write_report

__all__ = ["Analysis", "Means", "Question", "ask", "compare", "write_report"]
