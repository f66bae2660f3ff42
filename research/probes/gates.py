"""How long the gates of a cell retain its memory.

A gated cell updates its memory m as m' = f ⊙ m + …: of what one frame writes, f[t+1]·…·f[t+k] is
left after k frames, which falls to 1/e within τ = −1 / mean(ln f) frames. (For a constant f that
is −1 / ln f; compare Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", arXiv
1804.11188, whose 1 / (1 − f) is its limit for f near 1.)

τ is computed for every unit, over all frames of the utterances. It describes the path through the
memory alone; `gradient_reach` also measures what passes through the recurrent weights.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from research.probes.finding import Curves, Finding, Job, Record, Table, grouped, plot, spread
from research.probes.subjects import (
    STATES,
    Subject,
    digest,
    some_utterances,
    utterance_features,
)
from speechgru.cells import CELLS, Cell
from speechgru.checkpoint import Checkpoint
from speechgru.errors import SpeechgruError

SHARES = [percent / 100 for percent in range(0, 101, 2)]  # of units, for the distribution
LONGEST = 1e6  # frames; for a gate that never closes


def check_gated(name: str) -> None:
    """Raises SpeechgruError for a cell without gates."""
    gated = [key for key, cell in CELLS.items() if cell.log_retention is not Cell.log_retention]
    if name not in gated:
        raise SpeechgruError(f"cell {name!r} has no gates: expected one of {', '.join(gated)}")


def mean_log_retention(cell: Cell, x: Tensor) -> Tensor:
    """`cell.log_retention`, mean over the frames of rows of one length:
    (batch, frames, input) → (H,)."""
    state = cell.initial_state(len(x))
    total = x.new_zeros(cell.hidden_size)
    for gates_x in cell.project(x, torch.ones(x.shape[:2], dtype=torch.bool)).unbind(1):
        retention = cell.log_retention(gates_x, state)
        assert retention is not None
        total += retention.mean(0)
        state = cell.step(gates_x, state)
    return total / x.shape[1]


@torch.inference_mode()
def time_constants(checkpoint: Checkpoint, utterances: Sequence[Tensor]) -> list[list[float]]:
    """τ in model frames, one list per layer: the units of its directions.

    utterances: features (feature frames, size). Raises SpeechgruError for a cell without gates.
    """
    check_gated(checkpoint.config.model.cell)
    layers = checkpoint.model.recurrent_layers()
    totals = [torch.zeros(layer.output_size) for layer in layers]
    frames = 0
    for features in utterances:
        inputs = _layer_inputs(checkpoint, features)
        frames += inputs[0].shape[1]
        for total, layer, x in zip(totals, layers, inputs, strict=True):
            cells = [cell for cell in layer.directions if isinstance(cell, Cell)]
            # One row without padding, so that flipping it gives the backward direction's order.
            rows = (x, x.flip(1))
            means = [mean_log_retention(*each) for each in zip(cells, rows, strict=False)]
            total += torch.cat(means) * x.shape[1]
    return [
        [min(LONGEST, -1 / mean) if mean < 0 else LONGEST for mean in (total / frames).tolist()]
        for total in totals
    ]


def _layer_inputs(checkpoint: Checkpoint, features: Tensor) -> list[Tensor]:
    """The input of each recurrent layer, (1, model frames, size)."""
    inputs: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        for layer in checkpoint.model.recurrent_layers()
    ]
    try:
        checkpoint.model(features[None], torch.tensor([len(features)]))
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


def gates_jobs(subjects: Sequence[Subject], manifest: Path, utterances: int = 20) -> list[Job]:
    """Before and after training. Raises SpeechgruError for a cell without gates."""
    jobs = []
    for subject in subjects:
        check_gated(subject.cell)
        for state in STATES:
            settings = {
                "state": state, "cell": subject.cell, "seed": subject.seed,
                "model": subject.digest, "frame_ms": subject.frame_ms,
                "manifest": digest(manifest), "utterances": utterances,
            }  # fmt: skip
            jobs.append(Job(settings, partial(_measure, subject, state, manifest, utterances)))
    return jobs


def _measure(subject: Subject, state: str, manifest: Path, utterances: int) -> Record:
    checkpoint = subject.in_state(state)
    features = utterance_features(checkpoint, some_utterances(manifest, utterances))
    quantiles = [
        np.quantile(np.array(layer) * subject.frame_ms, SHARES).tolist()
        for layer in time_constants(checkpoint, features)
    ]
    return {"layers_ms": quantiles, "shape": subject.shape}


def summarise(records: Sequence[Record]) -> Finding:
    """One table and one figure per layer; a percentile is over the units of a layer."""
    tables, figures = [], {}
    for layer in range(max(len(record["layers_ms"]) for record in records)):
        table = Table(f"Time constants of the gates (ms), layer {layer + 1}", [])
        lines = []
        deep = [record for record in records if layer < len(record["layers_ms"])]
        for label, models in grouped(deep).items():
            curves = [record["layers_ms"][layer] for record in models]
            percentiles = {
                f"p{share}": spread([curve[SHARES.index(share / 100)] for curve in curves])
                for share in (10, 50, 90)
            }
            table.rows.append({"models": label, **percentiles, "number of models": len(models)})
            lines.append(Curves(label, SHARES, curves))
        tables.append(table)
        figure = plot(table.caption, lines, "share of units", "time constant (ms)")
        figure.axes[0].set_yscale("log")
        figures[f"gates-layer-{layer + 1}"] = figure
    return Finding("gates", tables, figures)
