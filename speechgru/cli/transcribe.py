"""`speechgru transcribe`."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import clock, counting_progress, note, show_error, warn
from speechgru.cli.listen import transcribe_standard_input
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
from speechgru.errors import SpeechgruError, plural, printable
from speechgru.formats import FORMATS, Format, find_formats

if TYPE_CHECKING:
    from speechgru.transcription import Outcome

app = typer.Typer()


@app.command(
    epilog="Example: `speechgru transcribe a.wav b.mp3 folder/ --model runs/an4 -f json -o texts`"
)
def transcribe(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES|FOLDERS|-",
            help="audio files or folders; - is audio from standard input, as it arrives",
        ),
    ],
    model: Model,
    output_format: Annotated[
        str, typer.Option("--format", "-f", help="one or more, with commas: " + ", ".join(FORMATS))
    ] = "txt",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o",
            help="write into this folder, in the folder structure of the input; ctm, stm and trn "
            "are one file for all  [default: print the transcripts]",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="overwrite existing files  [default: they are an error]"),
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="skip files whose outputs all exist")
    ] = False,
    nbest: Annotated[
        int, typer.Option(min=1, max=100, help="texts per recording in JSON (beam search only)")
    ] = 1,
    rate: Annotated[
        int | None,
        typer.Option(help="with -: Hz of mono samples without a header  [default: WAV]"),
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="with --rate: of the samples: s16, s32 or f32, little-endian")
    ] = "s16",
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
    formats = find_formats(output_format)
    raw = {"--rate": rate is not None, "--encoding": encoding != "s16"}
    _check_effect(raw, Path("-") in sources, "- (standard input)")
    _check_effect({"--force": force, "--skip-existing": skip_existing}, folder is not None, "--out")
    listed = "json" in formats and Path("-") not in sources
    _check_effect({"--nbest": nbest > 1}, listed, "--format json, of files")
    use_threads(threads)
    if Path("-") in sources:
        if len(sources) > 1 or folder is not None:
            raise SpeechgruError("- is transcribed as it arrives: no other files, and no --out")
        from speechgru.recognizer import Recognizer

        decoder = choose_decoder(model, greedy, decoding, lm, vocabulary, hotwords)
        recognizer = Recognizer.load(model, device, precision, batch_seconds, decoder, hotwords)
        transcribe_standard_input(recognizer, rate, encoding, ",".join(formats))
        return
    from speechgru.recognizer import Recognizer
    from speechgru.transcription import Outputs, find_audio, transcribe_files

    files = find_audio(sources)
    inputs = (*(file.source for file in files), decoding, lm, vocabulary, hotwords)
    outputs = Outputs(files, formats, folder, force, skip_existing, inputs)
    decoder = choose_decoder(model, greedy, decoding, lm, vocabulary, hotwords)
    recognizer = Recognizer.load(model, device, precision, batch_seconds, decoder, hotwords)
    beam = "--lm, --vocabulary, --hotwords or --decoding"
    _check_effect({"--nbest": nbest > 1}, decoder != "greedy", f"a beam search ({beam})")
    recognizer.alternatives = nbest - 1
    tally = Tally(len(files))
    with outputs, counting_progress() as show:

        def show_progress(seconds: float) -> None:
            speed = tally.speed(seconds)
            show(tally.done, tally.total, f"{clock(seconds)} of the next file  {speed}")

        for outcome in transcribe_files(recognizer, files, outputs, show_progress):
            show_outcome(outcome, next(iter(formats.values())))
            tally.add(outcome)
            show(tally.done, tally.total, f"{outcome.source}  {tally.speed()}")
    tally.finish()


def _check_effect(options: dict[str, bool], met: bool, needed: str) -> None:
    """Raises SpeechgruError for an option that is given and would have no effect."""
    if given := [name for name, is_given in options.items() if is_given and not met]:
        raise SpeechgruError(f"{given[0]} has no effect without {needed}; remove it or add that")


def show_outcome(outcome: "Outcome", output: Format) -> None:
    source = printable(outcome.source)
    if outcome.error is not None:
        show_error(outcome.error)
    elif outcome.skipped:
        warn(f"{source}: skipped, its outputs exist")
    elif outcome.written:
        print(f"{source} → " + ", ".join(printable(file) for file in outcome.written))
    elif output.suffix != "txt":
        print(outcome.output, end="\n" if outcome.output else "")
    else:
        print(f"{source}: {outcome.output}")
    if outcome.transcript is not None and outcome.transcript.reason is not None:
        warn(f"{source}: no text: {outcome.transcript.reason}")


class Tally:
    """Counts of outcomes, and the real-time factor: seconds of work per second of audio."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.failed, self.skipped = total, 0, 0, 0
        self.seconds, self.begin = 0.0, perf_counter()

    def add(self, outcome: "Outcome") -> None:
        self.done = min(self.done + 1, self.total)
        self.failed += outcome.error is not None
        self.skipped += outcome.skipped
        if outcome.transcript is not None:
            self.seconds += outcome.transcript.duration

    def speed(self, more: float = 0.0) -> str:
        """With `more` seconds of audio that are done of the next file."""
        seconds = self.seconds + more
        return f"RTF {(perf_counter() - self.begin) / seconds:.4f}" if seconds else ""

    def finish(self) -> None:
        """Show the counts, of several files; raises typer.Exit with status 1 if one has failed."""
        if self.total > 1 or self.failed:
            self._show()
        if self.failed:
            raise typer.Exit(1)

    def _show(self) -> None:
        files = plural(self.total, "file")
        parts = [f"{self.failed} of {files} failed" if self.failed else files]
        if self.seconds:
            parts.append(f"{clock(self.seconds)} of audio, {self.speed()}")
        if self.skipped:
            parts.append(f"{self.skipped} skipped")
        if self.failed:
            parts.append("see the errors above")
        (warn if self.failed else note)("; ".join(parts))
