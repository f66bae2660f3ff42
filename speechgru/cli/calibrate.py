"""`speechgru calibrate`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import counting_progress, print_rows, show_written, warn
from speechgru.cli.options import (
    BatchSeconds,
    Device,
    Greedy,
    Model,
    Threads,
    check_outputs,
    choose_decoder,
    use_threads,
)

if TYPE_CHECKING:
    from speechgru.calibration import Quality
    from speechgru.decoding.confidence import Calibration

app = typer.Typer()
FEW = 10  # right words, and wrong ones, that a reliable calibration needs


@app.command(epilog="Example: `speechgru calibrate dev.jsonl --model runs/an4 --test test.jsonl`")
def calibrate(
    manifest: Annotated[
        Path, typer.Argument(metavar="DEV", help="utterances with texts, not the test set")
    ],
    model: Model,
    test: Annotated[
        Path | None, typer.Option("--test", help="measure the calibration on this manifest, too")
    ] = None,
    greedy: Greedy = False,
    device: Device = "auto",
    batch_seconds: BatchSeconds = 30.0,
    threads: Threads = 0,
) -> None:  # fmt: skip
    """Calibrate the confidence of words on a dev set: it becomes the probability that a word is
    right. Also measure how long before its first output a word begins, and how long utterances
    are. `transcribe` and `align` use calibration.json beside the model."""
    use_threads(threads)
    from speechgru.calibration import calibrate as fit
    from speechgru.calibration import quality, recognise_words, write_calibration
    from speechgru.decoding.confidence import Calibration
    from speechgru.manifest import read_manifest
    from speechgru.recognizer import Recognizer, calibration_file, decoder_kind

    file = calibration_file(model)
    check_outputs(file, inputs=(manifest, test))
    manifests = {"dev": read_manifest(manifest)}
    if test is not None:
        manifests["test"] = read_manifest(test)
    decoder = choose_decoder(model, greedy)
    recognizer = Recognizer.load(model, device, "float32", batch_seconds, decoder)
    with counting_progress() as show:
        words = {name: recognise_words(recognizer, each, show) for name, each in manifests.items()}
    calibration = fit(words["dev"], [each.duration for each in manifests["dev"]])
    qualities = {
        f"{name}, {state}": quality(used(each.log_probs), each.right)
        for name, each in words.items()
        for state, used in {"before": Calibration(), "after": calibration}.items()
    }
    measured = {name: each.to_json() for name, each in qualities.items()}
    write_calibration(file, decoder_kind(recognizer.decoder), calibration, measured)
    show_calibration(qualities, calibration)
    for each in words.values():
        for id_, reason in each.failed.items():
            warn(f"not used: {id_}: {reason}")
    show_written([file])
    if any(each.failed for each in words.values()):
        raise typer.Exit(1)


def show_calibration(qualities: "dict[str, Quality]", calibration: "Calibration") -> None:
    rows = {
        name: f"{each.words} words, {each.wrong} wrong; expected calibration error "
        f"{_number(each.ece)}, normalised cross entropy {_number(each.nce)}, "
        f"area under ROC {_number(each.auc)}"
        for name, each in qualities.items()
    }
    rows["lead"] = f"{calibration.lead:.3f} s before the first output of a word"
    rows["segments"] = f"of long recordings: at least {calibration.shortest:g} s"
    print_rows(rows)
    dev = qualities["dev, before"]
    if min(dev.wrong, dev.words - dev.wrong) < FEW:
        warn(
            f"dev has {dev.words - dev.wrong} right and {dev.wrong} wrong words: too few for a "
            "reliable calibration; use more, or delete the file"
        )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"  # not defined, as where no word is wrong
