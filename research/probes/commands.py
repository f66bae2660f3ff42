"""`python -m research.probes …`: one command per probe; imports inside the functions, no logic."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from research.probes.finding import Finding, Job, Record

app = typer.Typer(
    no_args_is_help=True,
    help="Experiments on what a recurrent cell can remember.",
    epilog="Example: `python -m research.probes gates runs/a --manifest an4/dev.jsonl --out g`",
)

N = TypeVar("N", int, float, str)
Runs = Annotated[list[Path], typer.Argument(help="run folders or model files")]
Manifest = Annotated[Path, typer.Option(help="manifest of utterances")]
Out = Annotated[Path, typer.Option("--out", "-o", help="output folder: records, tables, figures")]
Utterances = Annotated[
    int, typer.Option(min=1, help="number of utterances, at equal distances in the manifest")
]
Seeds = Annotated[int, typer.Option(min=1, help="seeds per cell: 1, 2, …")]


@app.command(
    "gradient-reach",
    epilog="Example: `python -m research.probes gradient-reach --cells rnn,gru --out runs/reach`",
)
def gradient_reach(
    out: Out,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="run folders or model files (unidirectional)")
    ] = None,
    cells: Annotated[
        str, typer.Option(help="without RUNS: untrained cells, separated by commas")
    ] = "rnn,gru,lstm",
    seeds: Seeds = 5,
    gains: Annotated[
        str, typer.Option(help="factors for the initial recurrent weights of untrained cells")
    ] = "1",
    manifest: Annotated[
        Path | None, typer.Option(help="manifest of utterances for RUNS, besides noise")
    ] = None,
    utterances: Utterances = 20,
    frames: Annotated[
        int, typer.Option(min=2, help="model frames of the noise, and of joined utterances")
    ] = 500,
) -> None:
    """How far back the gradient of a label reaches: of untrained cells, or of RUNS before and after
    training."""
    from research.probes import gradient_reach as probe
    from research.probes.subjects import load_subjects

    if runs:
        jobs = probe.trained_jobs(load_subjects(runs), manifest, utterances, frames)
    else:
        each = product(_list(gains, float), _list(cells, str), range(1, seeds + 1))
        jobs = probe.untrained_jobs(
            [probe.Untrained(cell, seed, gain, frames=frames) for gain, cell, seed in each]
        )
    _run("gradient-reach", jobs, probe.summarise, out)


@app.command(
    epilog="Example: `python -m research.probes memory --lengths 100,200 --out runs/memory`"
)
def memory(
    out: Out,
    problems: Annotated[str, typer.Option(help="adding or copy, or both by commas")] = "adding",
    lengths: Annotated[str, typer.Option(help="frames, separated by commas")] = "100",
    cells: Annotated[str, typer.Option(help="separated by commas")] = "rnn,rnn_relu,gru,lstm",
    seeds: Seeds = 5,
    steps: Annotated[int, typer.Option(min=100, help="optimiser steps per run, at most")] = 2000,
    learning_rates: Annotated[str, typer.Option(help="of Adam, separated by commas")] = "0.001",
) -> None:
    """Which cells learn to carry information over how many frames: the adding and copy problems."""
    from research.probes import memory as probe

    # All cells of a seed come before the next seed.
    tasks = product(_list(problems, str), _list(lengths, int), _list(learning_rates, float))
    runs = [
        probe.Run(*task, cell, seed, steps)
        for task, seed, cell in product(tasks, range(1, seeds + 1), _list(cells, str))
    ]
    _run("memory", probe.memory_jobs(runs), probe.summarise, out)


@app.command(
    epilog="Example: `python -m research.probes gates runs/a --manifest data/an4/dev.jsonl -o g`"
)
def gates(runs: Runs, manifest: Manifest, out: Out, utterances: Utterances = 20) -> None:
    """Time constants of the gates, before and after training."""
    from research.probes import gates as probe
    from research.probes.subjects import load_subjects

    _run("gates", probe.gates_jobs(load_subjects(runs), manifest, utterances), probe.summarise, out)


@app.command(
    epilog="Example: `python -m research.probes length runs/a --manifest data/an4/test.jsonl -o l`"
)
def length(
    runs: Runs,
    manifest: Manifest,
    out: Out,
    contexts: Annotated[
        str,
        typer.Option(
            help="model frames before each frame that the model can use (bidirectional models: "
            "also after it), separated by commas; empty: only by length"
        ),
    ] = "0,5,10,20,50,100",
    utterances: Utterances = 100_000,
) -> None:
    """Word error rate by utterance length, and by the context that the model can use."""
    from research.probes import length as probe
    from research.probes.subjects import load_subjects

    jobs = probe.length_jobs(load_subjects(runs), manifest, _list(contexts, int), utterances)
    _run("length", jobs, probe.summarise, out)


@app.command(
    epilog="Example: `python -m research.probes report docs/results/probes/*/*.jsonl`, all tables "
    "and figures again"
)
def report(
    files: Annotated[list[Path], typer.Argument(help="records of probes (.jsonl)")],
) -> None:
    """Tables and figures from records, next to them."""
    from importlib import import_module

    from research.probes.finding import read_records

    for file in files:
        probe = import_module(f"research.probes.{file.stem.replace('-', '_')}")
        _show(probe.summarise(read_records(file)), file.parent)


def _run(
    name: str, jobs: "Sequence[Job]", summarise: "Callable[[list[Record]], Finding]", out: Path
) -> None:
    from research.probes.finding import complete
    from speechgru.cli import console
    from speechgru.cli.options import use_threads

    use_threads(0)
    with console.counting_progress() as show:
        records = complete(out / f"{name}.jsonl", jobs, show)
    _show(summarise(records), out)


def _show(finding: "Finding", out: Path) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from speechgru.cli import console

    for each in finding.tables:
        columns = dict.fromkeys(column for row in each.rows for column in row)
        table = Table(*columns, box=SIMPLE, title=each.caption, title_justify="left")
        for row in each.rows:
            cells = [row.get(column) for column in columns]
            table.add_row(*("–" if cell is None else str(cell) for cell in cells))
        console.print_wide(table)
    console.show_written(finding.write(out))


def _list(text: str, kind: type[N]) -> list[N]:
    """ "100,200" → [100, 200]. Raises SpeechgruError for what is not of this kind."""
    from speechgru.errors import SpeechgruError

    try:
        return [kind(part) for part in text.split(",") if part]
    except ValueError:
        raise SpeechgruError(f"{text!r}: expected numbers separated by commas") from None
