"""The probe of gradient reach: which models, on which sounds, and what their curves say."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from research.probes.finding import (
    Finding,
    Job,
    Row,
    Rows,
    Show,
    Spread,
    Table,
    banded,
    chart,
    complete,
    grouped,
    spread,
)
from research.probes.gradient import Reach, exact, noise_reach, speech_reach
from research.probes.subjects import (
    CLAIMS,
    WHEN,
    Subject,
    check_cells,
    colour,
    digest,
    joined_features,
    some_utterances,
    untrained,
    utterance_features,
)
from speechgru.errors import SpeechgruError
from speechgru.figures import Axis, Series
from speechgru.model import RecurrentCTC
from speechgru.recipe import ModelRecipe

NO_GAIN = ("mingru", "minlstm", "indrnn")
FEATURES, TOKENS = 40, 30  # of models that are not read from a run
TOLD = (10, 100, 400)  # distances that the words and numbers give
INPUTS = {"noise": "noise", "utterances": "utterances", "joined": "joined utterances"}
METHOD = (
    "Norm of the gradient of a label's log-probability at frame t of a one-way model, with respect "
    "to what model frame t − k reads, divided by the largest over k; median over labels. Noise: "
    "white, unit variance; the most probable token (blank included) at the last 16 frames. "
    "Utterances: the labels that the trained model emits, in both states; how many frames hold "
    "nine tenths is not told, since a label cannot reach back beyond the beginning. “× a frame” is "
    "the factor by which the norm changes from one frame to the next further back, beyond 20 "
    "frames: below 1 it vanishes, above 1 it explodes. Labels whose gradient is nothing but zeros "
    "(the model is as sure as a number can be), or no number, are left out. An untrained Li-GRU "
    "has no statistics yet and normalises nothing."
)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Untrained one-way models to be made for each cell, gain and seed (1, 2, …): the cell and a
    linear head, nothing else.

    A gain multiplies the recurrent weights after the usual draw, of cells that have any which
    they do not clip (NO_GAIN names the others; they are made without gain alone).
    """

    cells: tuple[str, ...] = ()
    seeds: int = 5
    gains: tuple[float, ...] = (1.0,)
    layers: int = 1
    width: int = 128

    def make(self, cell: str, seed: int, gain: float) -> RecurrentCTC:
        recipe = ModelRecipe(
            cell=cell, layers=self.layers, hidden_size=self.width, bidirectional=False, factor=1,
            subsampling="stack", layer_norm=False, dropout=0.0,
        )  # fmt: skip
        torch.manual_seed(seed)
        model = RecurrentCTC(recipe, FEATURES, TOKENS)
        for name, parameter in model.named_parameters():
            if name.endswith(".weight_hh"):
                parameter.data.mul_(gain)
        return model.eval()


def probe_gradient_reach(
    fresh: Fresh,
    subjects: Sequence[Subject],
    manifest: Path | None,
    rows: Rows,
    show: Show,
    steps: int = 500,
    utterances: int = 20,
) -> Finding:
    """Measure fresh models on noise; and `subjects`, before and after their training, on noise, on
    utterances of `manifest`, and on these joined to `steps` model frames or more.

    Raises SpeechgruError: a two-way model, an unknown cell, nothing to measure, too little sound.
    """
    check_cells(fresh.cells)
    jobs = [*_fresh_jobs(fresh, steps), *_subject_jobs(subjects, manifest, steps, utterances)]
    if not jobs:
        raise SpeechgruError("nothing to measure: name runs, or cells")
    return summarise(complete(rows, jobs, show))


def _fresh_jobs(fresh: Fresh, steps: int) -> Iterator[Job]:
    for gain in fresh.gains:
        for cell in [name for name in fresh.cells if gain == 1 or name not in NO_GAIN]:
            for seed in range(1, fresh.seeds + 1):
                key = {
                    "input": "noise", "state": "initial", "cell": cell, "seed": seed, "gain": gain,
                    "layers": fresh.layers, "width": fresh.width, "steps": steps,
                }  # fmt: skip
                make = partial(fresh.make, cell, seed, gain)
                shape = f"{fresh.layers} × {fresh.width}, only to be probed"
                yield Job(key, partial(_on_noise, make, steps, shape))


def _subject_jobs(
    subjects: Sequence[Subject], manifest: Path | None, steps: int, utterances: int
) -> Iterator[Job]:
    for subject in subjects:
        exact(subject.checkpoint.model)  # a two-way model is refused before anything is measured
    for subject in subjects:
        for state in WHEN:
            key: Row = {
                "state": state, "cell": subject.cell, "seed": subject.seed, "gain": 1.0,
                "model": subject.digest, "frame_ms": subject.frame_ms, "steps": steps,
            }  # fmt: skip
            make = partial(_model, subject, state)
            yield Job(key | {"input": "noise"}, partial(_on_noise, make, steps, subject.shape))
            if manifest is None:
                continue
            key |= {"manifest": digest(manifest), "utterances": utterances, "asked": "emitted"}
            for kind in ("utterances", "joined"):
                measure = partial(_on_speech, subject, state, kind, manifest, steps, utterances)
                yield Job(key | {"input": kind}, measure)


def _model(subject: Subject, state: str) -> RecurrentCTC:
    return subject.checkpoint.model if state == "trained" else untrained(subject).model


def _on_noise(make: partial[RecurrentCTC], steps: int, shape: str) -> Row:
    return asdict(noise_reach(make(), steps)) | {"shape": shape}


def _on_speech(
    subject: Subject, state: str, kind: str, manifest: Path, steps: int, utterances: int
) -> Row:
    chosen, checkpoint = some_utterances(manifest, utterances), subject.checkpoint
    if kind == "joined":
        sounds = joined_features(checkpoint, chosen, steps)
    else:
        sounds = utterance_features(checkpoint, chosen)
    reach: Reach = speech_reach(_model(subject, state), checkpoint, sounds, steps)
    return asdict(reach) | {"shape": subject.shape}


# Summing up --------------------------------------------------------------------------------------


def summarise(rows: Sequence[Row]) -> Finding:
    """Rows of several models → curves with bands, one chart an input and gain."""
    tables: list[Table] = []
    numbers: dict[str, Any] = {}
    figures: dict[str, str] = {}
    for kind, gain in dict.fromkeys((row["input"], row["gain"]) for row in rows):
        group = [row for row in rows if (row["input"], row["gain"]) == (kind, gain)]
        where = INPUTS[kind] + ("" if gain == 1 else f", recurrent weights × {gain:g}")
        name = f"gradient-reach-{kind}" + ("" if gain == 1 else f"-gain-{gain:g}")
        named = any(row["state"] == "trained" for row in rows)
        labels = grouped(group, partial(_label, named))
        numbers[name] = {label: _figures(models) for label, models in labels.items()}
        lines: list[Series] = []
        for label, models in labels.items():
            dashed = models[0]["state"] == "initial" and any(r["state"] == "trained" for r in group)
            lags, curves = _aligned(models)
            lines.append(banded(label, lags, curves, colour(models[0]["cell"]), dashed))
        title = f"Gradient of a label by distance, on {where}"
        whole = kind != "utterances"
        tables.append(_table(f"{title}: norm / its largest", numbers[name], whole))
        figures[name] = chart(
            title, lines, Axis("model frames back"),
            Axis("gradient norm / its largest", True, 1e-12, 1),
            f"{' or '.join(sorted({str(len(models)) for models in labels.values()}))} models",
            tables[-1].lines(),
        )  # fmt: skip
    return Finding(
        "gradient-reach", CLAIMS["gradient-reach"], METHOD, tuple(tables), numbers, figures
    )


def _label(named: bool, row: Row) -> str:
    """ "gru", or "gru, trained" and "gru, untrained" where there are trained ones."""
    return f"{row['cell']}, {WHEN[row['state']]}" if named else str(row["cell"])


def _table(caption: str, numbers: dict[str, Any], whole: bool) -> Table:
    """`whole`: labels stand far enough behind the beginning for all of their reach to be seen."""
    far = [lag for lag in map(str, TOLD) if any(lag in found["at"] for found in numbers.values())]
    head = ("models of", *(f"{lag} frames back" for lag in far), "nine tenths within, frames",
            "× a frame, beyond 20", "how many")  # fmt: skip
    rows = []
    for label, found in numbers.items():
        cells = [Spread(**found["at"][lag]).told(2) if lag in found["at"] else "–" for lag in far]
        cells += [Spread(**found[key]).told() if key in found else "–"
                  for key in ("ninety", "per_frame")]  # fmt: skip
        if not whole:
            cells[-2] = "–"
        lost = f" ({found['excluded']} labels left out)" if found["excluded"] else ""
        rows.append((label, *cells, f"{found['models']}{lost}"))
    return Table(caption, head, tuple(rows))


def _aligned(models: Sequence[Row]) -> tuple[list[int], list[list[float | None]]]:
    """The distances, and every model's curve over them."""
    curves = [dict(zip(row["lags"], row["relative"], strict=True)) for row in models]
    lags = sorted(set.union(*map(set, curves)))
    return lags, [[curve.get(lag) for lag in lags] for curve in curves]


def _figures(models: Sequence[Row]) -> dict[str, Any]:
    """Spreads over models of one label."""
    lags, curves = _aligned(models)
    at = {}
    for lag in TOLD:
        values = [curve[lags.index(lag)] for curve in curves if lag in lags]
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):
            at[str(lag)] = asdict(spread(known))
    found: dict[str, Any] = {"models": len(models), "at": at}
    found["excluded"] = sum(row["overflowed"] for row in models)
    for name, values in {
        "ninety": [row["ninety"] for row in models],
        "per_frame": [per_frame(row["lags"], row["relative"]) for row in models],
    }.items():
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):  # of some alone it would pass for all models'
            found[name] = asdict(spread(known))
    return found


def per_frame(lags: Sequence[int], relative: Sequence[float | None]) -> float | None:
    """Factor from one distance to the next, between 20 frames back and the furthest at which the
    gradient is known and not too small for a number."""
    known = [(lag, v) for lag, v in zip(lags, relative, strict=True) if v and lag >= 20]
    if len(known) < 2:
        return None
    (near, first), (far, last) = known[0], known[-1]
    return float((last / first) ** (1 / (far - near)))
