"""How long the gates keep what they hold.

A gated cell carries its memory m as m' = f ⊙ m + …, so that what a frame writes is worth
f[t+1]·…·f[t+k] after k frames: it falls to 1/e within τ = −1 / mean(ln f) frames. (For a constant
f that is −1 / ln f; compare Tallec & Ollivier 2018, "Can recurrent neural networks warp time?",
arXiv 1804.11188, whose 1 / (1 − f) is its limit for f near 1.)

This is the path through the memory alone. What also passes through the recurrent weights, and
does so in cells without gates, is what `gradient_reach` measures.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, logsigmoid, softplus

from research.probes.finding import (
    Finding,
    Job,
    Row,
    Rows,
    Show,
    Table,
    banded,
    chart,
    complete,
    grouped,
    spread,
)
from research.probes.subjects import (
    CLAIMS,
    WHEN,
    Subject,
    colour,
    digest,
    some_utterances,
    untrained,
    utterance_features,
)
from speechgru.cells import Cell, State
from speechgru.checkpoint import Checkpoint
from speechgru.errors import SpeechgruError
from speechgru.figures import Axis, Series

SHARES = [percent / 100 for percent in range(0, 101, 2)]  # of units, for the distribution
TOLD = (10, 50, 90)  # per cent of units, in words and numbers
LONGEST = 1e6  # frames; a gate that never closes
METHOD = (
    "τ = −1 / mean(ln f) of every unit, over all frames of the utterances, f being the factor by "
    "which the cell's equations multiply the memory: forget gate, or the update gate's part that "
    "keeps. τ in milliseconds, at the model's frame rate. Weights alone also carry memory; that "
    "is not in τ."
)


# f, from the input's part of the gates (batch, gates·H) and the state before the frame -----------


def _gru(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    h_z = linear(state[0], cell.weight_hh, cell.bias_hh).chunk(3, -1)[1]
    return logsigmoid(gates_x.chunk(3, -1)[1] + h_z)


def _lstm(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    gates = gates_x + linear(state[0], cell.weight_hh, cell.bias_hh)
    return logsigmoid(gates.chunk(4, -1)[1])


def _cifg(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    gates = gates_x + linear(state[0], cell.weight_hh, cell.bias_hh)
    return logsigmoid(-gates.chunk(3, -1)[0])  # ln(1 − σ(a)) = ln σ(−a)


def _gru_ln(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    size = 2 * cell.hidden_size  # reset and update gate are normalised together
    h_rz = linear(state[0], cell.weight_hh[:size])
    h_rz = layer_norm(h_rz, [size], cell.get_parameter("gain_hh")[:size], cell.bias_hh[:size])
    return logsigmoid((gates_x[:, :size] + h_rz).chunk(2, -1)[1])


def _lstm_ln(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    gates_h = linear(state[0], cell.weight_hh)
    gates_h = layer_norm(gates_h, gates_h.shape[-1:], cell.get_parameter("gain_hh"), cell.bias_hh)
    return logsigmoid((gates_x + gates_h).chunk(4, -1)[1])


def _ligru(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    return logsigmoid((gates_x + linear(state[0], cell.weight_hh)).chunk(2, -1)[0])


def _mingru(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    return logsigmoid(-gates_x.chunk(2, -1)[0])


def _minlstm(cell: Cell, gates_x: Tensor, state: State) -> Tensor:
    f, i, _ = gates_x.chunk(3, -1)
    return logsigmoid(softplus(-i) - softplus(-f))  # f / (f + i) = σ(ln f − ln i)


LOG_KEEP: dict[str, Callable[[Cell, Tensor, State], Tensor]] = {
    "gru": _gru,
    "lstm": _lstm,
    "cifg": _cifg,
    "gru_ln": _gru_ln,
    "lstm_ln": _lstm_ln,
    "ligru": _ligru,
    "mingru": _mingru,
    "minlstm": _minlstm,
}
"""ln f of one frame, (batch, H); each beside the equations in its cell's docstring."""


def check_gated(name: str) -> None:
    """Raises SpeechgruError for a cell that this probe says nothing about."""
    if name not in LOG_KEEP:
        raise SpeechgruError(f"cell {name!r} has no gates: expected one of {', '.join(LOG_KEEP)}")


def mean_log_keep(name: str, cell: Cell, x: Tensor) -> Tensor:
    """ln f, mean over the frames of rows of one length: (batch, frames, input) → (H,)."""
    state = cell.initial_state(len(x))
    total = x.new_zeros(cell.hidden_size)
    for gates_x in cell.project(x, torch.ones(x.shape[:2], dtype=torch.bool)).unbind(1):
        total += LOG_KEEP[name](cell, gates_x, state).mean(0)
        state = cell.step(gates_x, state)
    return total / x.shape[1]


@torch.inference_mode()
def time_constants(checkpoint: Checkpoint, sounds: Sequence[Tensor]) -> list[list[float]]:
    """τ in model frames: a list a layer, of the units of all its directions.

    sounds: features (feature frames, size) each. Raises SpeechgruError for a cell without gates.
    """
    name = checkpoint.config.model.cell
    check_gated(name)
    layers = checkpoint.model.recurrent_layers()
    totals: list[Tensor] = [torch.zeros(layer.output_size) for layer in layers]
    frames = 0
    for features in sounds:
        inputs = _layer_inputs(checkpoint, features)
        frames += inputs[0].shape[1]
        for total, layer, x in zip(totals, layers, inputs, strict=True):
            ways = [x, x.flip(1)]  # one row without padding: the backward direction's order
            cells = [cell for cell in layer.directions if isinstance(cell, Cell)]
            means = [mean_log_keep(name, *each) for each in zip(cells, ways, strict=False)]
            total += torch.cat(means) * x.shape[1]
    return [[_constant(mean) for mean in (total / frames).tolist()] for total in totals]


def _constant(mean_log: float) -> float:
    return min(LONGEST, -1 / mean_log) if mean_log < 0 else LONGEST


def _layer_inputs(checkpoint: Checkpoint, features: Tensor) -> list[Tensor]:
    """What each recurrent layer reads, (1, model frames, size)."""
    caught: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
        for layer in checkpoint.model.recurrent_layers()
    ]
    try:
        checkpoint.model(features[None], torch.tensor([len(features)]))
    finally:
        for hook in hooks:
            hook.remove()
    return caught


# The probe ---------------------------------------------------------------------------------------


def probe_gates(
    subjects: Sequence[Subject], manifest: Path, rows: Rows, show: Show, utterances: int = 20
) -> Finding:
    """Time constants of `subjects` before and after training, on utterances of a manifest.

    Raises SpeechgruError for a cell without gates, before anything is measured.
    """
    for subject in subjects:
        check_gated(subject.cell)
    jobs = []
    for subject in subjects:
        for state in WHEN:
            key = {
                "state": state, "cell": subject.cell, "seed": subject.seed,
                "model": subject.digest, "frame_ms": subject.frame_ms,
                "manifest": digest(manifest), "utterances": utterances,
            }  # fmt: skip
            jobs.append(Job(key, partial(_measure, subject, state, manifest, utterances)))
    return summarise(complete(rows, jobs, show))


def _measure(subject: Subject, state: str, manifest: Path, utterances: int) -> Row:
    checkpoint = subject.checkpoint if state == "trained" else untrained(subject)
    sounds = utterance_features(checkpoint, some_utterances(manifest, utterances))
    layers = [
        [tau * subject.frame_ms for tau in layer] for layer in time_constants(checkpoint, sounds)
    ]
    quantiles = [np.quantile(layer, SHARES).tolist() for layer in layers]
    return {"layers_ms": quantiles, "shape": subject.shape}


def summarise(rows: Sequence[Row]) -> Finding:
    numbers: dict[str, Any] = {}
    lines: dict[int, list[Series]] = {}
    told: dict[int, list[tuple[str, ...]]] = {}
    for label, models in grouped(rows, lambda row: f"{row['cell']}, {WHEN[row['state']]}").items():
        cell, state = models[0]["cell"], models[0]["state"]
        numbers[label] = []
        for place in range(max(len(row["layers_ms"]) for row in models)):
            curves = [row["layers_ms"][place] for row in models if place < len(row["layers_ms"])]
            spreads = {
                f"p{share}": spread([c[SHARES.index(share / 100)] for c in curves])
                for share in TOLD
            }
            found = {share: asdict(each) for share, each in spreads.items()}
            numbers[label].append({"layer": place + 1, "models": len(curves), "ms": found})
            cells = (spreads["p50"].told(), spreads["p90"].told(), str(len(curves)))
            told.setdefault(place, []).append((label, *cells))
            line = banded(label, SHARES, curves, colour(cell), dashed=state == "initial")
            lines.setdefault(place, []).append(line)
    head = ("models of", "half of the units forget within, ms", "a tenth keep for, ms", "how many")
    title = "Time constants of the gates, layer {}"
    tables = {place: Table(title.format(place + 1), head, tuple(told[place])) for place in told}
    figures = {
        f"gates-layer-{place + 1}": chart(
            table.caption, lines[place], Axis("share of units"),
            Axis("time constant, ms", log=True), "models of a cell", table.lines(),
        )
        for place, table in tables.items()
    }  # fmt: skip
    return Finding("gates", CLAIMS["gates"], METHOD, tuple(tables.values()), numbers, figures)
