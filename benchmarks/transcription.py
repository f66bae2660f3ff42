"""How long a model takes to transcribe a manifest, without start-up.

python -m benchmarks.transcription runs/an4/gru-1 data/an4/test.jsonl --threads 2
SPEECHGRU_CPU_KERNELS=0 python -m benchmarks.transcription …
"""

import time
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from speechgru.cli.main import run
from speechgru.cli.options import Threads, use_threads

app = typer.Typer()


@app.command()
def transcription(
    model: Annotated[Path, typer.Argument(help="run folder or model file")],
    manifest: Annotated[Path, typer.Argument(help="manifest of the audio")],
    threads: Threads = 0,
    rounds: Annotated[int, typer.Option(min=1, help="passes after a first one")] = 5,
) -> None:
    """Print the median of some passes over a manifest on a CPU."""
    use_threads(threads)
    from speechgru.manifest import read_manifest
    from speechgru.recognizer import Recognizer

    recognizer = Recognizer.load(model, "cpu")
    utterances = read_manifest(manifest)
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        list(recognizer.transcribe_all(utterances))
        seconds.append(time.perf_counter() - start)
    audio = sum(utterance.duration for utterance in utterances)
    took = median(seconds[1:])
    typer.echo(
        f"{len(utterances)} utterances, {audio:.0f} s of audio: {took:.2f} s (fastest pass "
        f"{min(seconds[1:]):.2f} s, first {seconds[0]:.2f} s), {audio / took:.0f} × real time"
    )


if __name__ == "__main__":
    run(app, "python -m benchmarks.transcription")
