"""`speechgru tune`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from speechgru.cli.console import counting_progress, out, print_rows, print_wide, show_written, warn
from speechgru.cli.options import (
    BatchSeconds,
    Device,
    LanguageModel,
    Model,
    Threads,
    WordsFile,
    check_outputs,
    use_threads,
)
from speechgru.errors import SpeechgruError

if TYPE_CHECKING:
    from speechgru.tuning import Tuning

app = typer.Typer()


@app.command(
    epilog="Example: `speechgru tune data/an4/dev.jsonl --model runs/an4 --lm an4.arpa.gz`"
)
def tune(
    manifest: Annotated[
        Path, typer.Argument(metavar="DEV", help="manifest of the dev set; never use the test set")
    ],
    model: Model,
    lm: LanguageModel = None,
    vocabulary: WordsFile = None,
    file: Annotated[
        Path | None,
        typer.Option("--out", help="settings to write  [default: decoding.yaml beside the model]"),
    ] = None,
    device: Device = "auto",
    batch_seconds: BatchSeconds = 30.0,
    threads: Threads = 0,
) -> None:  # fmt: skip
    """Choose the weights of a language model (--lm), a vocabulary (--vocabulary) or both on a dev
    set. `transcribe` and `evaluate` use them from then on."""
    use_threads(threads)
    from speechgru.decoding.settings import FILE, Decoding, write_decoding
    from speechgru.manifest import read_manifest
    from speechgru.model_file import model_path
    from speechgru.recognizer import Recognizer
    from speechgru.tuning import plot
    from speechgru.tuning import tune as run_tuning

    file = file or model_path(model).with_name(FILE)
    inputs = (manifest, lm, vocabulary)
    check_outputs(file, inputs=inputs)
    picture = file.with_name(f"{file.stem}.svg")
    if picture == file:
        raise SpeechgruError(f"--out {file}: would be replaced by the picture; name a .yaml file")
    check_outputs(picture, inputs=inputs)
    utterances = read_manifest(manifest)
    recognizer = Recognizer.load(model, device, "float32", batch_seconds, "greedy")
    with counting_progress() as show:
        tuning = run_tuning(recognizer, utterances, Decoding().changed(lm, vocabulary), show)
    write_decoding(file, tuning.best.decoding, tuning.note(os.path.realpath(manifest)))
    plot(tuning, picture)
    show_tuning(tuning)
    show_written([file, picture])
    if tuning.failed:
        raise typer.Exit(1)


def show_tuning(tuning: "Tuning") -> None:
    best = tuning.best.decoding
    scores = sorted({point.decoding.word_score for point in tuning.grid})
    table = Table("lm weight", *(f"{each:g}" for each in scores), title="WER, %, by word score")
    for weight in sorted({point.decoding.lm_weight for point in tuning.grid}):
        row = {p.decoding.word_score: p.wer for p in tuning.grid if p.decoding.lm_weight == weight}
        table.add_row(f"{weight:g}", *(f"{100 * row[each]:.2f}" for each in scores))
    print_wide(table)
    cost = "no unknown words" if best.unknown_cost is None else f"{best.unknown_cost:g}"
    rows = {
        "lm weight": f"{best.lm_weight:g}",
        "word score": f"{best.word_score:g}",
        "unknown cost": cost,
        "beam": f"{best.beam}",
        "dev WER": f"{100 * tuning.best.wer:.2f} %  (greedy {100 * tuning.greedy.wer:.2f} %)",
        "dev CER": f"{100 * tuning.best.cer:.2f} %  (greedy {100 * tuning.greedy.cer:.2f} %)",
    }
    print_rows(rows)
    if tuning.greedy.wer >= 1:
        warn("as many errors as words: check that these are the texts of the recordings")
    if len({point.wer for point in tuning.grid}) == 1:
        warn(
            "all settings have the same WER: this dev set is too small, or does not fit, to choose"
        )
    elif best.lm is not None and best.lm_weight == 0:
        warn("the language model does not help on this dev set: its best weight is 0")
    for border in tuning.borders:
        warn(f"{border} is the last value that was tried: a better one may lie beyond it")
    if tuning.best.wer > tuning.greedy.wer:
        warn("no setting is better than greedy decoding on this dev set; use --greedy")
    for id_, reason in tuning.failed.items():
        warn(f"not used: {id_}: {reason}")
    out.print()
