"""`speechgru align`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import counting_progress, warn
from speechgru.cli.options import BatchSeconds, Device, Model, Threads, use_threads
from speechgru.cli.transcribe import Tally, show_outcome
from speechgru.errors import SpeechgruError, plural
from speechgru.formats import FORMATS, find_formats

if TYPE_CHECKING:
    from speechgru.manifest import Utterance
    from speechgru.transcription import Outcome

app = typer.Typer()
DOUBTFUL = 0.05  # confidence below which a word is hardly what is spoken


@app.command(
    epilog="Example: `speechgru align book.mp3 book.txt --model runs/an4 -f srt,json -o aligned`"
)
def align(
    source: Annotated[
        Path, typer.Argument(metavar="MANIFEST|AUDIO", help="a manifest (.jsonl), or an audio file")
    ],
    text: Annotated[
        Path | None, typer.Argument(metavar="TEXT", help="file with the text of the audio file")
    ] = None,
    model: Model = ...,  # type: ignore[assignment]
    output_format: Annotated[
        str, typer.Option("--format", "-f", help="one or several: " + ", ".join(FORMATS))
    ] = "ctm",
    folder: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="write into this folder  [default: print the words]"),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="overwrite existing files  [default: they are an error]"),
    ] = False,
    device: Device = "auto",
    batch_seconds: BatchSeconds = 30.0,
    threads: Threads = 0,
) -> None:  # fmt: skip
    """Find where each word of a known text is in its recording, of any length."""
    formats = find_formats(output_format)
    use_threads(threads)
    from speechgru.aligning import align_files, as_files
    from speechgru.decoding.confidence import read_calibrations
    from speechgru.recognizer import Recognizer, calibration_file
    from speechgru.transcription import AudioFile, Outputs

    utterances = _read(source, text)
    files = as_files(utterances) if text is None else [AudioFile(source, Path(source.name))]
    inputs = (source, text, *(Path(utterance.audio) for utterance in utterances))
    outputs = Outputs(files, formats, folder, force, inputs=inputs)
    recognizer = Recognizer.load(model, device, "float32", batch_seconds, "greedy")
    known = read_calibrations(file) if (file := calibration_file(model)).exists() else {}
    recognizer.calibration = known.get("greedy", known.get("beam", recognizer.calibration))
    tally = Tally(len(utterances))
    with outputs, counting_progress() as show:
        for outcome in align_files(recognizer, files, utterances, outputs):
            show_outcome(outcome, next(iter(formats.values())))
            _warn_of_words(outcome)
            tally.add(outcome)
            show(tally.done, tally.total, f"{outcome.source}  {tally.speed()}")
    tally.finish()


def _read(source: Path, text: Path | None) -> "list[Utterance]":
    from speechgru.manifest import Utterance, read_manifest
    from speechgru.misspelt import similar_path
    from speechgru.scoring.lines import read_lines

    if text is None:
        if source.suffix.lower() not in (".jsonl", ".json"):
            raise SpeechgruError(
                f"{source}: expected a manifest (.jsonl), or a TEXT after the audio"
            )
        return read_manifest(source)
    if not os.path.exists(text):  # perhaps the words themselves
        raise SpeechgruError(
            f"{text}: no such file{similar_path(text)[1]}; expected a file with the text of "
            f"{source}"
        )
    return [Utterance(str(source), 0.0, "\n".join(read_lines(text)), source.stem)]


def _warn_of_words(outcome: "Outcome") -> None:
    if outcome.transcript is None:
        return
    confidences = [w.confidence for w in outcome.transcript.words if w.confidence is not None]
    doubtful = sum(confidence < DOUBTFUL for confidence in confidences)
    if 2 * doubtful > len(confidences):
        warn(
            f"{outcome.source}: {doubtful} of {plural(len(confidences), 'word')} with a confidence "
            f"below {DOUBTFUL:g}: does the text belong to this recording?"
        )
    words = dict.fromkeys(w.text for w in outcome.transcript.words if w.interpolated)
    if words:
        some = ", ".join(list(words)[:5]) + (", …" if len(words) > 5 else "")
        warn(f"{outcome.source}: the model cannot spell {some}: their times are interpolated")
