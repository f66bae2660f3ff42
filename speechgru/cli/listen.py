"""`speechgru listen`, and `speechgru transcribe -`: audio as it arrives."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechgru.cli.console import note, warn
from speechgru.cli.options import (
    DecodingFile,
    Greedy,
    HotWords,
    LanguageModel,
    Model,
    Threads,
    WordsFile,
    choose_decoder,
    use_threads,
)
from speechgru.errors import AudioError, SpeechgruError

if TYPE_CHECKING:
    from speechgru.audio import Samples
    from speechgru.recognizer import Recognizer
    from speechgru.streaming import Final, Stream

app = typer.Typer()
STREAM_FORMATS = ("txt", "json")
GRACE = 0.5  # seconds after Ctrl-C


@app.command(epilog="Example: `speechgru listen --model runs/fsdd`")
def listen(
    model: Model,
    microphone: Annotated[
        str | None,
        typer.Option(
            help="name or number, as `python -m sounddevice` lists them  [default: the system's]"
        ),
    ] = None,
    silence: Annotated[
        float, typer.Option(min=0.2, help="seconds of silence that end an utterance")
    ] = 0.8,
    threads: Threads = 1,
    greedy: Greedy = False,
    decoding: DecodingFile = None,
    lm: LanguageModel = None,
    vocabulary: WordsFile = None,
    hotwords: HotWords = None,
) -> None:
    """Transcribe the microphone until Ctrl-C. The model must be unidirectional."""
    use_threads(threads)
    from speechgru.recognizer import Recognizer
    from speechgru.streaming import Endpointing

    decoder = choose_decoder(model, greedy, decoding, lm, vocabulary, hotwords)
    recognizer = Recognizer.load(model, "cpu", decoder=decoder, hotwords=hotwords)
    rules = Endpointing(silence, max(silence, Endpointing().initial_silence))
    recognizer.stream(rules)  # refuses a model before the microphone is opened
    rate, blocks = _microphone(microphone)
    note("listening; press Ctrl-C to stop")
    show_stream(recognizer.stream(rules, rate), blocks, "txt")


def _microphone(name: str | None) -> tuple[int, "Iterator[Samples]"]:
    """Its rate in Hz, and its samples until Ctrl-C."""
    try:
        import sounddevice
    except ImportError:
        raise SpeechgruError(
            "listen needs the package sounddevice: pip install 'speechgru[sounddevice]'"
        ) from None
    except OSError as error:  # the package is there, its C library is not
        raise SpeechgruError(
            f"sounddevice cannot be used ({error}): install PortAudio (Debian: libportaudio2)"
        ) from None
    device = int(name) if name is not None and name.isdigit() else name
    try:
        rate = int(sounddevice.query_devices(device, "input")["default_samplerate"])
        source = sounddevice.InputStream(rate, device=device, channels=1, dtype="float32")
        source.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise SpeechgruError(
            f"microphone {name or 'default'!r}: cannot be opened ({error}); "
            "`python -m sounddevice` lists the devices"
        ) from None
    return rate, _record(source, rate // 20, sounddevice.PortAudioError)


def _record(source: Any, count: int, failure: type[Exception]) -> "Iterator[Samples]":
    with source:
        while True:
            try:
                samples, lost = source.read(count)
            except failure as error:  # unplugged, for instance
                raise AudioError(f"microphone: reading failed ({error})") from None
            if lost:
                warn("audio was lost: the computer is too slow for this model, or busy")
            yield samples


def transcribe_standard_input(
    recognizer: "Recognizer", rate: int | None, encoding: str, output_format: str
) -> None:
    """Print what is recognised in WAV from standard input, or in samples at `rate` Hz."""
    from speechgru.audio.pipe import ENCODINGS, read_raw_pipe, read_wav_pipe

    if output_format not in STREAM_FORMATS:
        raise SpeechgruError(
            f"--format {output_format!r}: standard input is transcribed as it arrives, to "
            + " or ".join(STREAM_FORMATS)
        )
    if encoding not in ENCODINGS:
        raise SpeechgruError(f"--encoding {encoding!r}: expected one of {', '.join(ENCODINGS)}")
    if sys.stdin is None or sys.stdin.isatty():
        raise SpeechgruError("standard input is a terminal: expected WAV, or samples with --rate")
    blocks: Iterable[Samples]
    if rate is None:
        rate, blocks = read_wav_pipe(sys.stdin.buffer, "standard input")
    else:
        blocks = read_raw_pipe(sys.stdin.buffer, encoding, "standard input")
    show_stream(recognizer.stream(sample_rate=rate), blocks, output_format)


def show_stream(stream: "Stream", blocks: "Iterable[Samples]", output_format: str) -> None:
    """Print each utterance when it has ended and, on a terminal, what there is of the next one.

    Up to the end of the blocks, GRACE seconds after the first Ctrl-C, or what cannot be read: what
    came before is recognised. Raises AudioError.
    """
    terminal = sys.stdout.isatty()
    error = None
    try:
        try:
            with closing(_until_interrupted(blocks)) as source:
                for block in source:
                    for final in stream.accept(block):
                        _show_final(final, output_format, terminal)
                    if terminal:
                        width = shutil.get_terminal_size().columns - 1
                        print(f"\r\x1b[K{stream.partial[-width:]}", end="", flush=True)
        except AudioError as reason:
            error = reason
        for final in stream.finish():
            _show_final(final, output_format, terminal)
        if terminal:
            print("\r\x1b[K", end="")
    except BrokenPipeError:  # nothing reads our output any more, as after `| head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    if error is not None:
        raise error


def _until_interrupted(blocks: "Iterable[Samples]") -> "Generator[Samples, None, None]":
    """Ends GRACE seconds after the first Ctrl-C, or earlier with the blocks: what has been said
    before is still in a pipe or in the microphone's buffer. Windows has no timer that interrupts
    waiting; there it ends at once."""
    source, waiting, interrupted, over = iter(blocks), False, False, False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, usual)  # a second one acts as usual
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, GRACE)
        else:
            end()

    def end(*_: object) -> None:
        nonlocal over
        over = True
        if waiting:
            raise KeyboardInterrupt

    usual = signal.signal(signal.SIGINT, interrupt)
    alarm = signal.signal(signal.SIGALRM, end) if hasattr(signal, "SIGALRM") else None
    try:
        while True:
            try:
                try:
                    waiting = True  # before `over` is read: if the timer ends in between, it raises
                    if over:
                        return
                    block = next(source)
                finally:
                    waiting = False
            except (KeyboardInterrupt, StopIteration):
                return
            except AudioError:
                if interrupted:  # a recorder that Ctrl-C ended early, too
                    return
                raise
            yield block
    finally:
        if alarm is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGINT, usual)


def _show_final(final: "Final", output_format: str, terminal: bool) -> None:
    line = final.text
    if output_format == "json":
        values = {"start": round(final.start, 3)} | final.transcript.to_json()
        line = json.dumps(values, ensure_ascii=False)
    print(f"\r\x1b[K{line}" if terminal else line, flush=True)
