"""The command line: one command a function, imports inside the functions, no logic."""

import io
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _Commands(TyperGroup):
    """Typer ends Ctrl-C without a word."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                traceback.print_exc()
            typer.echo("speechgru: interrupted", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: `speechgru train recipes/digits --out runs/digits`, then "
    "`speechgru transcribe a.wav --model runs/digits`. "
    "`speechgru --debug COMMAND …` shows the traceback of an error.",
)

Device = Annotated[str, typer.Option(help="auto (a GPU when present), cpu, cuda, cuda:1, …")]
Precision = Annotated[
    str, typer.Option(help="of recurrent layers on a CPU: float32, or bfloat16, which saves time")
]
Model = Annotated[Path, typer.Option("--model", "-m", help="a run folder or a model file")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: one a CPU")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"speechgru {version('speechgru')}")
        raise typer.Exit


@app.callback()
def _speechgru(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="and exit")
    ] = False,
) -> None:
    """Train a small speech recogniser (GRU, LSTM or RNN with CTC) on your own recordings,
    transcribe with it, and compare the cells."""
    # main() looks at sys.argv itself: an error may come before typer has parsed anything.


@app.command(epilog="Example: `speechgru prepare an4 --source /data/an4`")
def prepare(
    name: Annotated[str, typer.Argument(help="digits, fsdd, an4 or librispeech")],
    source: Annotated[Path | None, typer.Option(help="the corpus as its makers ship it")] = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for manifests  [default: data/NAME]")
    ] = None,
    holdout: Annotated[
        str | None, typer.Option(help="fsdd: the speaker who is only in the test set")
    ] = None,
) -> None:
    """Make manifests from a corpus, and say what is in it."""
    from speechgru.cli import console
    from speechgru.corpora import prepare as prepare_corpus
    from speechgru.corpora import summary_rows, write_splits

    prepared = prepare_corpus(name, source, holdout)
    folder = out or Path("data") / name
    files = write_splits(prepared, folder)
    console.show_corpus(name, summary_rows(prepared.splits), files, prepared.problems)
    if prepared.problems:
        raise typer.Exit(1)


@app.command(
    epilog="Example: `speechgru train recipes/an4 model.cell=lstm training.epochs=40 --out runs/a`"
)
def train(
    recipe: Annotated[
        str, typer.Argument(help="recipes/NAME, a folder with recipe.yaml, or a file")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="SECTION.KEY=VALUE", help="change values")
    ] = None,
    out: Annotated[Path, typer.Option(help="run folder to write")] = ...,  # type: ignore[assignment]
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in --out")] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train a model by recipe. Ctrl-C saves; --resume goes on."""
    from speechgru.cli import console
    from speechgru.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    _use_threads(threads)
    from speechgru.training import train as run_training

    with console.training_progress() as show:
        result = run_training(loaded, out, device, resume, show)
    console.show_training(result)
    if result.interrupted:
        raise typer.Exit(130)


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

    _use_threads(threads)
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


@app.command(
    epilog="Example: `speechgru transcribe a.wav b.mp3 folder/ --model runs/an4 -f json -o texts`"
)
def transcribe(
    sources: Annotated[list[Path], typer.Argument(metavar="FILES|FOLDERS", help="sound")],
    model: Model,
    output_format: Annotated[
        str, typer.Option("--output-format", "--format", "-f", help="txt or json")
    ] = "txt",
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir", "--out", "-o", help="a file for each, in here, laid as FOLDERS are"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="write over texts that are there")] = False,
    device: Device = "auto",
    precision: Precision = "float32",
    threads: Threads = 0,
) -> None:
    """Write down what is said in sound files; folders are searched for sound."""
    from speechgru.cli import console

    _use_threads(threads)
    from speechgru.recognizer import Recognizer
    from speechgru.transcription import check_format, find_sounds, transcribe_files

    check_format(output_format)
    sounds = find_sounds(sources)
    recognizer = Recognizer.load(model, device, precision)
    failed = 0
    for outcome in transcribe_files(recognizer, sounds, output_format, output_dir, force):
        console.show_transcript(outcome, output_format)
        failed += outcome.fault is not None
    if failed:
        console.warn(f"{failed} of {len(sounds)} without a new text: the lines above say why")
        raise typer.Exit(1)


@app.command(
    epilog="Example: `speechgru compare recipes/fsdd --cells gru,lstm --seeds 3 "
    "--test data/fsdd/test.jsonl --match params --out runs/cells`"
)
def compare(
    recipe: Annotated[
        str | None, typer.Argument(help="recipes/NAME, a folder with recipe.yaml, or a file")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="SECTION.KEY=VALUE", help="change values")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the runs, results.json and report")] = ...,  # type: ignore[assignment]
    cells: Annotated[str, typer.Option(help="short for --vary model.cell=…")] = "rnn,gru,lstm",
    vary: Annotated[
        str | None, typer.Option(metavar="KEY=A,B", help="any recipe setting, e.g. features.kind")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="trainings a variant: seeds 1, 2, …")] = 1,
    test: Annotated[
        Path | None, typer.Option(help="manifest to score once at the end  [default: dev]")
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="speaker: a model a held-out speaker, words pooled")
    ] = None,
    match: Annotated[
        str, typer.Option(help="solve each width for equal params, macs, time or train-time")
    ] = "width",
    tune: Annotated[
        str | None, typer.Option(help="lr, or lr=0.001,0.003: the same grid for all, on dev")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="trainings at a time, one process each")] = 1,
    cost: Annotated[
        bool, typer.Option(help="measure times and memory when the grid is through")
    ] = True,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="rebuild the report from OUT/results")
    ] = False,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads a training; 0: all, shared")] = 0,
) -> None:
    """Train the same recipe in variants, on equal terms, and say which is better and how surely.

    The same command goes on after a kill; what is finished is skipped."""
    from speechgru.cli import console
    from speechgru.errors import RecipeError
    from speechgru.recipe import load_recipe

    threads = threads or max(1, len(os.sched_getaffinity(0)) // jobs)
    _use_threads(threads)
    from speechgru import compare as comparing

    if report_only:
        results = comparing.report(out)
    elif recipe is None:
        raise RecipeError("which recipe? Give recipes/NAME, or --report-only for an old comparison")
    else:
        loaded = load_recipe(recipe, overrides or [])
        question = comparing.ask(
            loaded, vary, cells, seeds, str(test) if test else None, folds, match, tune
        )
        with console.training_progress() as show:
            results = comparing.compare(
                question, out, comparing.Means(device, threads, jobs, cost, show)
            )
    console.show_comparison(results, out)
    if results["failures"]:
        raise typer.Exit(1)


@app.command(
    epilog="Example: `speechgru info recipes/an4 model.hidden_size=256`, `speechgru info runs/an4`"
)
def info(
    source: Annotated[str, typer.Argument(help="a run, a model file or a recipe")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="SECTION.KEY=VALUE", help="for a recipe")
    ] = None,
) -> None:
    """Size, work and latency of a model: trained, or as a recipe describes it."""
    from speechgru.cli import console
    from speechgru.info import describe

    console.show_information(describe(source, overrides or []))


def main() -> None:
    """Entry point of the `speechgru` command."""
    run(app, "speechgru")


def run(application: typer.Typer, name: str) -> None:
    """Run a typer application: one readable line for a user's error, a traceback with --debug."""
    from speechgru.errors import SpeechgruError

    debug = "--debug" in sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # terminals without UTF-8 must not crash us
            stream.reconfigure(errors="backslashreplace")
    _log_to_console()
    try:
        application(prog_name=name)
    except SpeechgruError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"speechgru: {error}", err=True)
        sys.exit(error.exit_status)


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))


def _log_to_console() -> None:
    from speechgru.cli.console import LogHandler

    logger = logging.getLogger("speechgru")
    logger.setLevel(logging.INFO)
    logger.addHandler(LogHandler())
