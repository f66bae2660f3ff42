"""`speechgru transcribe`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import counting_progress, show_error, warn
from speechgru.cli.options import (
    BatchSeconds,
    DecodingFile,
    Device,
    Greedy,
    HotWords,
    LanguageModel,
    Model,
    Precision,
    Threads,
    WordsFile,
    choose_decoder,
    use_threads,
)
from speechgru.errors import printable
from speechgru.formats import FORMATS, Format, find_format

if TYPE_CHECKING:
    from speechgru.transcription import Outcome

app = typer.Typer()


@app.command(
    epilog="Example: `speechgru transcribe a.wav b.mp3 folder/ --model runs/an4 -f json -o texts`"
)
def transcribe(
    sources: Annotated[
        list[Path], typer.Argument(metavar="FILES|FOLDERS", help="audio files or folders")
    ],
    model: Model,
    output_format: Annotated[
        str, typer.Option("--format", "-f", help=" or ".join(FORMATS))
    ] = "txt",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o",
            help="write one file per audio file into this folder, in the folder structure of the "
            "input  [default: print the transcripts]",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="overwrite existing files  [default: skip them]")
    ] = False,
    device: Device = "auto",
    precision: Precision = "float32",
    batch_seconds: BatchSeconds = 30.0,
    threads: Threads = 0,
    greedy: Greedy = False,
    decoding: DecodingFile = None,
    lm: LanguageModel = None,
    vocabulary: WordsFile = None,
    hotwords: HotWords = None,
) -> None:  # fmt: skip
    """Transcribe audio files; folders are searched recursively."""
    output = find_format(output_format)
    use_threads(threads)
    from speechgru.recognizer import Recognizer
    from speechgru.transcription import find_audio, transcribe_files

    files = find_audio(sources)
    decoder = choose_decoder(model, greedy, decoding, lm, vocabulary, hotwords)
    recognizer = Recognizer.load(model, device, precision, batch_seconds, decoder, hotwords)
    failed = 0
    with counting_progress() as show:
        outcomes = transcribe_files(recognizer, files, output_format, folder, force)
        for number, outcome in enumerate(outcomes, 1):
            show_outcome(outcome, output)
            show(number, len(files), str(outcome.source))
            failed += outcome.error is not None
    if failed:
        warn(f"{failed} of {len(files)} files failed; see the errors above")
        raise typer.Exit(1)


def show_outcome(outcome: "Outcome", output: Format) -> None:
    if outcome.error is not None:
        show_error(outcome.error)
    elif outcome.written is not None:
        print(f"{printable(outcome.source)} → {printable(outcome.written)}")
    elif output.names_source:
        print(outcome.output)
    else:
        print(f"{printable(outcome.source)}: {outcome.output}")
