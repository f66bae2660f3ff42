"""`speechgru evaluate`, `score` and `significance`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import counting_progress, out, show_information, show_written, warn
from speechgru.cli.options import Device, Model, Precision, Threads, use_threads

if TYPE_CHECKING:
    from speechgru.evaluation import Evaluation
    from speechgru.scoring import Score
    from speechgru.scoring.mapsswe import MatchedPairs, PairReport

app = typer.Typer()


@app.command(epilog="Example: `speechgru evaluate data/an4/test.jsonl --model runs/an4`")
def evaluate(
    manifest: Annotated[Path, typer.Argument(help="utterances with their texts")],
    model: Model,
    json: Annotated[Path | None, typer.Option("--json", help="also write the figures here")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", help="folder for ref.trn, hyp.trn, score.json  [default: RUN/results/NAME]"
        ),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="utterances to show side by side")] = 5,
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Threads = 0,
) -> None:
    """Score a model on a manifest: WER and CER with counts, interval and the worst utterances."""
    use_threads(threads)
    from speechgru.evaluation import evaluate as run_evaluation
    from speechgru.evaluation import results_folder, write_results
    from speechgru.recognizer import Recognizer

    recognizer = Recognizer.load(model, device, precision)
    with counting_progress() as show:
        evaluation = run_evaluation(recognizer, manifest, show)
    show_evaluation(evaluation, worst)
    folder = folder or results_folder(model if os.path.isdir(model) else model.parent, manifest)
    show_written(write_results(evaluation, folder, json))
    if evaluation.failed:
        raise typer.Exit(1)


@app.command(epilog="Example: `speechgru score ref.trn hyp.trn`")
def score(
    reference: Annotated[Path, typer.Argument(help="trn (`text (id)`) or one text a line")],
    hypothesis: Annotated[Path, typer.Argument(help="the same, from any toolkit")],
    json: Annotated[Path | None, typer.Option("--json", help="also write the figures here")] = None,
    worst: Annotated[int, typer.Option(min=0, help="utterances to show side by side")] = 5,
) -> None:
    """Score hypotheses against references."""
    from speechgru import scoring
    from speechgru.files import write_json

    result = scoring.score_files(reference, hypothesis)
    show_score(result, worst, scoring.TIDIED)
    if json:
        write_json(json, result.to_json())


@app.command(
    epilog="Example: `speechgru significance ref.trn gru1.trn,gru2.trn lstm1.trn,lstm2.trn`"
)
def significance(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="trn or one text a line")],
    a: Annotated[
        str, typer.Argument(metavar="HYP_A", help="of any toolkit; several by commas: one a seed")
    ],
    b: Annotated[str, typer.Argument(metavar="HYP_B", help="the same of the other system")],
    margin: Annotated[
        float | None,
        typer.Option(help="points of WER too small to matter  [default: a tenth of the mean WER]"),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="also write the figures here")] = None,
) -> None:
    """Is one system better than another? Paired bootstrap, and NIST's MAPSSWE beside it."""
    from speechgru.files import write_json
    from speechgru.scoring.mapsswe import compare_files

    report = compare_files(reference, a, b, None if margin is None else margin / 100)
    show_significance(report)
    if json:
        write_json(json, report.to_json())


def show_evaluation(evaluation: "Evaluation", worst: int) -> None:
    show_score(evaluation.score, worst, evaluation.normalisation)
    if evaluation.unknown:
        listed = ", ".join(f"{char!r} ×{count}" for char, count in evaluation.unknown.items())
        warn(f"characters the model cannot write, counted as errors: {listed}")
    for id_, fault in evaluation.failed.items():
        warn(f"not scored: {id_}: {fault}")


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


def show_significance(report: "PairReport") -> None:
    """Rates, both tests and the verdict in words."""
    from speechgru.scoring.mapsswe import FEW
    from speechgru.scoring.significance import p_text, signed, signed_points

    test = report.bootstrap
    low, high = (signed_points(end) for end in test.ci95)
    rows = {
        name: f"WER {100 * wer:.2f} %  {', '.join(files)}"
        for name, files, wer in zip("AB", report.names, (test.rate_a, test.rate_b), strict=True)
    }
    rows["A − B"] = f"{signed_points(test.difference)} points of WER"
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
