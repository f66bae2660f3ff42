"""What a person sees: tables, progress, warnings. No figure is computed here."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.corpora import SummaryRow
    from speechgru.evaluation import Evaluation
    from speechgru.scoring import Score
    from speechgru.scoring.mapsswe import MatchedPairs, PairReport
    from speechgru.training import Progress as TrainingStep
    from speechgru.training import Result
    from speechgru.transcription import Outcome

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
WIDE = 200  # columns of a table that no line may be broken in


class LogHandler(logging.Handler):
    """The package's log lines: warnings in colour, both above a running progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno >= logging.WARNING else None
        err.print(printable(self.format(record)), style=style, markup=False)


def warn(message: str) -> None:
    err.print(message, style="yellow", markup=False)


def show_written(files: Sequence[Path]) -> None:
    out.print("wrote " + ", ".join(printable(file) for file in files), markup=False)


def show_corpus(
    name: str, rows: Sequence["SummaryRow"], files: Sequence[Path], problems: Sequence[str]
) -> None:
    table = Table(
        *("split", "utterances", "hours", "speakers", "rates (Hz)"),
        Column("characters", overflow="fold"),  # all of them
        title=name,
    )
    for row in rows:
        table.add_row(
            row.split, f"{row.utterances:,}", f"{row.hours:.2f}", str(row.speakers),
            ", ".join(map(str, row.sample_rates)), printable("".join(row.characters)),
        )  # fmt: skip
    out.print(table)
    for problem in problems:
        warn(problem)
    if problems:
        warn(f"{len(problems)} left out")
    if files:
        show_written(files)
    else:
        out.print("the manifests are where they were read from, and stay as they are")


@contextmanager
def training_progress() -> Iterator[Callable[["TrainingStep"], None]]:
    """A live line, within 80 columns, while a training runs on a terminal; epochs are logged above
    it."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(7),
        TextColumn("loss {task.fields[loss]:.2f}{task.fields[dev]}"),
        TextColumn("{task.fields[speed]:.0f}× real time  {task.fields[eta]} left"),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", epoch="", loss=0.0, dev="", speed=0.0, eta="?", visible=False)

        def show(step: "TrainingStep") -> None:
            bar.update(
                task, total=step.steps, completed=step.step, visible=True,
                epoch=f"{step.epoch}/{step.epochs}", loss=step.loss, speed=step.speed,
                dev="" if step.best_dev_wer is None else f"  best WER {step.best_dev_wer:.1%}",
                eta=_clock(step.eta),
            )  # fmt: skip

        yield show


def show_training(result: "Result") -> None:
    folder = printable(result.folder)
    if result.interrupted:
        warn(f"interrupted after {result.epochs} epochs; the same command with --resume goes on")
        return
    out.print(
        f"dev WER {result.dev_wer:.2%} after {result.epochs} epochs in {_clock(result.seconds)}; "
        f"model in {folder}",
        markup=False,
    )


def show_score(score: "Score", worst: int, rule: str) -> None:
    """`rule`: what was done to both sides, in words."""
    from speechgru import scoring

    for utterance in scoring.worst(score, worst):
        out.print(scoring.alignment_lines(utterance), markup=False)
        out.print()
    low, high = score.wer_ci95
    words, characters = score.words, score.characters
    out.print(
        f"WER {score.wer:.2%}  (95 % interval {low:.2%} to {high:.2%}, over {score.ci_unit}s)  "
        f"{words.errors} errors in {words.reference} words: {words.substitutions} substitutions, "
        f"{words.deletions} deletions, {words.insertions} insertions",
        markup=False,
    )
    out.print(
        f"CER {score.cer:.2%}  {characters.errors} errors in {characters.reference} characters; "
        f"{len(score.utterances)} utterances",
        markup=False,
    )
    out.print(f"both sides normalised: {rule}", markup=False)


def show_evaluation(evaluation: "Evaluation", worst: int) -> None:
    show_score(evaluation.score, worst, evaluation.normalisation)
    if evaluation.unknown:
        listed = ", ".join(f"{char!r} ×{count}" for char, count in evaluation.unknown.items())
        warn(f"characters the model cannot write, counted as errors: {listed}")
    for id_, fault in evaluation.failed.items():
        warn(f"not scored: {id_}: {fault}")


def show_significance(report: "PairReport") -> None:
    """Rates, both tests and the verdict in words."""
    from speechgru.scoring.mapsswe import FEW
    from speechgru.scoring.significance import p_text, signed

    test = report.bootstrap
    low, high = (signed(100 * end) for end in test.ci95)
    rows = {
        name: f"WER {100 * wer:.2f} %  {', '.join(files)}"
        for name, files, wer in zip("AB", report.names, (test.rate_a, test.rate_b), strict=True)
    }
    rows["A − B"] = f"{signed(100 * test.difference)} points of WER"
    rows["bootstrap"] = f"95 % interval {low} to {high}, {p_text(test.p)}"
    for number, pairs in enumerate(report.matched_pairs, 1):
        which = f" {number}" if len(report.matched_pairs) > 1 else ""
        few = f" (fewer than {FEW}: not to be relied on)" if pairs.segments < FEW else ""
        rows[f"MAPSSWE{which}"] = (
            f"z = {signed(pairs.z)}, {p_text(pairs.p)}, {pairs.segments} segments{few}: "
            f"{_of_a(pairs)}"
        )
    if alone := report.unmatched:
        rows["no MAPSSWE"] = f"of {', '.join(alone)}: no file of the other system stands against it"
    out.print(f"{report.utterances:,} utterances, {report.words:,} words")
    show_information(rows)
    out.print(
        f"Such a test finds a true difference of {100 * test.minimum_detectable:.2f} points "
        "8 times in 10."
    )
    out.print(f"Verdict: {test.sentence()}", markup=False)


def _of_a(pairs: "MatchedPairs") -> str:
    verdict = pairs.verdict
    return f"A is {verdict} than B" if verdict in ("better", "worse") else verdict


def show_transcript(outcome: "Outcome", output_format: str = "txt") -> None:
    """Text to standard output, faults to standard error. JSON names its file itself."""
    if outcome.fault is not None:
        err.print(f"speechgru: {outcome.fault}", style="red", markup=False)
    elif outcome.written is not None:
        out.print(f"{printable(outcome.source)} → {printable(outcome.written)}", markup=False)
    elif output_format == "json":
        sys.stdout.write(outcome.output + "\n")
    else:
        out.print(f"{printable(outcome.source)}: {outcome.output}", markup=False)


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
    out.print(table)
    for pair in results["pairs"]:
        out.print(pair["sentence"], markup=False)
    if results["pending"]:
        warn(f"not finished: {len(results['pending'])} runs are still to come")
    for name, reason in results["failures"].items():
        warn(f"failed: {name}: {reason}")
    out.print(f"wrote {printable(folder)}/results.json, report.html, report.md", markup=False)


def show_information(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        out.print(f"{name:{width}}  {value}", markup=False)


@contextmanager
def counting_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A live line on a terminal: measurements done, of how many, what is under way, time left."""
    columns = (
        TextColumn("{task.completed} of {task.total}"), BarColumn(24),
        TextColumn("{task.description}", markup=False), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, total=total, completed=done, description=printable(name), visible=True)

        yield show


def print_wide(table: Table) -> None:
    """With no line broken: a narrow terminal breaks it, a file keeps it whole."""
    for column in table.columns:
        column.no_wrap = True
    table.width = out.measure(table, options=out.options.update(max_width=WIDE)).maximum
    out.print(table)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
