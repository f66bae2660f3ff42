"""`python -m research.probes …`: one command a probe, imports inside the functions, no logic."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from research.probes.finding import Finding, Rows, Show

app = typer.Typer(
    no_args_is_help=True,
    help="Experiments on what a cell remembers.",
    epilog="Example: `python -m research.probes gates runs/a --manifest data/an4/dev.jsonl --out gates`",
)

N = TypeVar("N", int, float)
Runs = Annotated[list[Path], typer.Argument(help="run folders or model files")]
SomeRuns = Annotated[list[Path] | None, typer.Argument(help="run folders or model files")]
Manifest = Annotated[Path, typer.Option(help="utterances with their texts")]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="folder for figures, numbers and finished rows")
]
Utterances = Annotated[int, typer.Option(min=1, help="of the manifest, evenly spread over it")]
Seeds = Annotated[int, typer.Option(min=1, help="seeds 1, 2, … of each cell")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: one a CPU")]
CELLS = "rnn,rnn_relu,gru,lstm"


@app.command(
    "gradient-reach",
    epilog="Example: `python -m research.probes gradient-reach --cells rnn,gru,lstm --out runs/reach`",
)
def gradient_reach(
    runs: SomeRuns = None,
    out: Out = ...,  # type: ignore[assignment]
    cells: Annotated[str, typer.Option(help="untrained cells to add, by commas")] = "",
    seeds: Seeds = 5,
    gains: Annotated[str, typer.Option(help="factors for their recurrent weights")] = "1",
    layers: Annotated[int, typer.Option(min=1, help="of the untrained")] = 1,
    width: Annotated[int, typer.Option(min=1, help="of the untrained")] = 128,
    manifest: Annotated[
        Path | None, typer.Option(help="real utterances for the runs, beside noise")
    ] = None,
    utterances: Utterances = 20,
    steps: Annotated[int, typer.Option(min=2, help="model frames of noise, or joined")] = 500,
    threads: Threads = 1,
) -> None:
    """How far back the gradient of a label reaches, before and after training (one-way
    models)."""

    def probe(rows: "Rows", show: "Show") -> "Finding":
        from research.probes.gradient_reach import Fresh, probe_gradient_reach
        from research.probes.subjects import load_subjects

        names = tuple(filter(None, cells.split(",")))
        fresh = Fresh(names, seeds, _numbers(gains, float), layers, width)
        loaded = load_subjects(runs or [])
        return probe_gradient_reach(fresh, loaded, manifest, rows, show, steps, utterances)

    _run(probe, out, "gradient-reach", threads)


@app.command(
    epilog="Example: `python -m research.probes memory --lengths 100,200 --out runs/memory`"
)
def memory(
    out: Out,
    tasks: Annotated[str, typer.Option(help="adding, copy, by commas")] = "adding",
    lengths: Annotated[str, typer.Option(help="frames, by commas")] = "100",
    cells: Annotated[str, typer.Option(help="names, by commas")] = CELLS,
    seeds: Seeds = 5,
    updates: Annotated[int, typer.Option(min=100, help="of the weights, at most")] = 2000,
    width: Annotated[int, typer.Option(min=1, help="units")] = 64,
    rates: Annotated[str, typer.Option(help="learning rates of Adam, by commas")] = "0.001",
    threads: Threads = 1,
) -> None:
    """Which cells learn to carry something over how many frames: the adding and copy problems."""

    def probe(rows: "Rows", show: "Show") -> "Finding":
        from research.probes.memory import Plan, probe_memory

        plan = Plan(
            tuple(tasks.split(",")), _numbers(lengths, int), tuple(cells.split(",")), seeds,
            updates, width=width, rates=_numbers(rates, float),
        )  # fmt: skip
        return probe_memory(plan, rows, show)

    _run(probe, out, "memory", threads)


@app.command(
    epilog="Example: `python -m research.probes gates runs/a --manifest data/an4/dev.jsonl -o g`"
)
def gates(
    runs: Runs, manifest: Manifest, out: Out, utterances: Utterances = 20, threads: Threads = 1
) -> None:
    """How long the gates keep what they hold: time constants before and after training."""

    def probe(rows: "Rows", show: "Show") -> "Finding":
        from research.probes.gates import probe_gates
        from research.probes.subjects import load_subjects

        return probe_gates(load_subjects(runs), manifest, rows, show, utterances)

    _run(probe, out, "gates", threads)


@app.command(
    epilog="Example: `python -m research.probes length runs/a --manifest data/an4/test.jsonl -o l`"
)
def length(
    runs: Runs,
    manifest: Manifest,
    out: Out,
    contexts: Annotated[
        str, typer.Option(help="model frames heard to a side, by commas; empty: only by length")
    ] = "0,5,10,20,50,100",
    bins: Annotated[int, typer.Option(min=1, help="groups of utterances by duration")] = 5,
    utterances: Utterances = 100_000,
    threads: Threads = 1,
) -> None:
    """Word error rate by length of utterance, and by how much context is heard."""

    def probe(rows: "Rows", show: "Show") -> "Finding":
        from research.probes.length import probe_length
        from research.probes.subjects import load_subjects

        heard = _numbers(contexts, int)
        return probe_length(load_subjects(runs), manifest, rows, show, heard, bins, utterances)

    _run(probe, out, "length", threads)


def _run(probe: "Callable[[Rows, Show], Finding]", out: Path, name: str, threads: int) -> None:
    from research.probes.finding import Rows
    from research.probes.view import show_finding
    from speechgru.cli import console
    from speechgru.cli.options import use_threads

    use_threads(threads)
    with console.counting_progress() as show:
        finding = probe(Rows(out / f"{name}.jsonl"), show)
    show_finding(finding, finding.write(out))


def _numbers(text: str, kind: type[N]) -> tuple[N, ...]:
    """ "100,200" → (100, 200). Raises SpeechgruError for what is no number."""
    from speechgru.errors import SpeechgruError

    try:
        return tuple(kind(part) for part in text.split(",") if part)
    except ValueError:
        raise SpeechgruError(f"{text!r}: expected numbers separated by commas") from None
