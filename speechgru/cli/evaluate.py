"""`speechgru evaluate`, `score` and `significance`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.options import Device, Model, Precision, Threads, use_threads

app = typer.Typer()


@app.command(epilog="Example: `speechgru evaluate data/an4/test.jsonl --model runs/an4`")
def evaluate(
    manifest: Annotated[Path, typer.Argument(help="utterances with their texts")],
    model: Model,
    json: Annotated[Path | None, typer.Option("--json", help="also write the figures here")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder for ref.trn, hyp.trn, score.json  [default: RUN/results/NAME]"),
    ] = None,
    worst: Annotated[int, typer.Option(min=0, help="utterances to show side by side")] = 5,
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Threads = 0,
) -> None:
    """Score a model on a manifest: WER and CER with counts, interval and the worst utterances."""
    from speechgru.cli import console

    use_threads(threads)
    from speechgru.evaluation import evaluate as run_evaluation
    from speechgru.evaluation import results_folder, write_results
    from speechgru.recognizer import Recognizer

    recognizer = Recognizer.load(model, device, precision)
    with console.counting_progress() as show:
        evaluation = run_evaluation(recognizer, manifest, show)
    console.show_evaluation(evaluation, worst)
    folder = out or results_folder(model if os.path.isdir(model) else model.parent, manifest)
    console.show_written(write_results(evaluation, folder, json))
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
    from speechgru.cli import console
    from speechgru.files import write_json

    result = scoring.score_files(reference, hypothesis)
    console.show_score(result, worst, scoring.TIDIED)
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
    from speechgru.cli import console
    from speechgru.files import write_json
    from speechgru.scoring.mapsswe import compare_files

    report = compare_files(reference, a, b, None if margin is None else margin / 100)
    console.show_significance(report)
    if json:
        write_json(json, report.to_json())
