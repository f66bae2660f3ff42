"""`speechgru transcribe`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import err, out, warn
from speechgru.cli.options import Device, Model, Precision, Threads, use_threads
from speechgru.errors import printable

if TYPE_CHECKING:
    from speechgru.transcription import Outcome

app = typer.Typer()


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
    use_threads(threads)
    from speechgru.recognizer import Recognizer
    from speechgru.transcription import check_format, find_sounds, transcribe_files

    check_format(output_format)
    sounds = find_sounds(sources)
    recognizer = Recognizer.load(model, device, precision)
    failed = 0
    for outcome in transcribe_files(recognizer, sounds, output_format, output_dir, force):
        show_transcript(outcome, output_format)
        failed += outcome.fault is not None
    if failed:
        warn(f"{failed} of {len(sounds)} without a new text: the lines above say why")
        raise typer.Exit(1)


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
