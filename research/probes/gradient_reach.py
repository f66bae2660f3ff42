"""The probe of gradient reach: untrained models on noise; trained ones on noise and on speech.

"× per frame" is the factor by which the norm changes from one frame to the next further back,
beyond 20 frames: below 1 the gradient vanishes, above 1 it explodes. An untrained Li-GRU has no
statistics yet and normalises nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from research.probes.finding import Curves, Finding, Job, Record, Table, grouped, plot, spread
from research.probes.gradient import in_float64, noise_reach, speech_reach
from research.probes.subjects import (
    STATES,
    Subject,
    check_cells,
    digest,
    joined_features,
    some_utterances,
    utterance_features,
)
from speechgru.model import RecurrentCTC
from speechgru.recipe import ModelRecipe

NO_GAIN = ("mingru", "minlstm", "indrnn")  # without recurrent weights, or clipping them
FEATURES, TOKENS = 40, 30  # of untrained models
LAGS = (10, 100, 400)  # columns of the tables


@dataclass(frozen=True, slots=True)
class Untrained:
    """One unidirectional layer and a linear output; `gain` multiplies the recurrent weights."""

    cell: str
    seed: int
    gain: float = 1.0
    hidden_size: int = 128
    frames: int = 500  # of noise
    input: str = "noise"

    def model(self) -> RecurrentCTC:
        recipe = ModelRecipe(
            cell=self.cell, layers=1, hidden_size=self.hidden_size, bidirectional=False, factor=1,
            subsampling="stack", layer_norm=False, dropout=0.0,
        )  # fmt: skip
        torch.manual_seed(self.seed)
        model = RecurrentCTC(recipe, FEATURES, TOKENS)
        for name, parameter in model.named_parameters():
            if name.endswith(".weight_hh"):
                parameter.data.mul_(self.gain)
        return model.eval()

    def measure(self) -> Record:
        shape = f"1 × {self.hidden_size} unidirectional"
        return asdict(noise_reach(self.model(), self.frames)) | {"shape": shape}


def untrained_jobs(models: Sequence[Untrained]) -> list[Job]:
    """Cells that have no weights to multiply are only measured at gain 1."""
    check_cells([model.cell for model in models])
    models = [model for model in models if model.gain == 1 or model.cell not in NO_GAIN]
    return [Job(asdict(model), model.measure) for model in models]


def trained_jobs(
    subjects: Sequence[Subject], manifest: Path | None, utterances: int = 20, frames: int = 500
) -> list[Job]:
    """Before and after training: on noise; on utterances of `manifest`; and on these joined to at
    least `frames` model frames. Raises SpeechgruError for a bidirectional model."""
    jobs = []
    for subject in subjects:
        in_float64(subject.checkpoint.model)  # refuse bidirectional models before measuring
        for state in STATES:
            for kind in ("noise", "utterances", "joined") if manifest else ("noise",):
                settings: Record = {
                    "state": state, "cell": subject.cell, "seed": subject.seed, "gain": 1.0,
                    "model": subject.digest, "frame_ms": subject.frame_ms, "frames": frames,
                    "input": kind,
                }  # fmt: skip
                if manifest and kind != "noise":
                    settings |= {"manifest": digest(manifest), "utterances": utterances}
                measure = partial(_measure, subject, state, kind, manifest, utterances, frames)
                jobs.append(Job(settings, measure))
    return jobs


def _measure(
    subject: Subject, state: str, kind: str, manifest: Path | None, utterances: int, frames: int
) -> Record:
    model = subject.in_state(state).model
    if manifest is None or kind == "noise":
        reach = noise_reach(model, frames)
    else:
        chosen = some_utterances(manifest, utterances)
        if kind == "joined":
            features = joined_features(subject.checkpoint, chosen, frames)
        else:
            features = utterance_features(subject.checkpoint, chosen)
        reach = speech_reach(model, subject.checkpoint, features, frames)
    return asdict(reach) | {"shape": subject.shape}


def summarise(records: Sequence[Record]) -> Finding:
    """One table and one figure per input and gain."""
    tables, figures = [], {}
    for kind, gain in dict.fromkeys((record["input"], record["gain"]) for record in records):
        name, title = f"gradient-reach-{kind}", f"Gradient of a label by distance, {kind}"
        if gain != 1:
            name, title = f"{name}-gain-{gain:g}", f"{title}, recurrent weights × {gain:g}"
        table, lines = Table(title, []), []
        chosen = [record for record in records if (record["input"], record["gain"]) == (kind, gain)]
        for label, models in grouped(chosen).items():
            curves = [dict(zip(each["lags"], each["relative"], strict=True)) for each in models]
            lags = sorted(set.union(*map(set, curves)))
            lines.append(Curves(label, lags, [[curve.get(k) for k in lags] for curve in curves]))
            at = {f"{k} frames back": spread([curve.get(k) for curve in curves]) for k in LAGS}
            # Within an utterance, labels cannot reach back beyond its beginning.
            reach = [None if kind == "utterances" else each["reach_90"] for each in models]
            table.rows.append({
                "models": label, **at, "90 % within, frames": spread(reach),
                "× per frame": spread([per_frame(curve) for curve in curves]),
                "number of models": len(models),
                "excluded labels": sum(each["excluded"] for each in models),
            })  # fmt: skip
        tables.append(table)
        figure = plot(title, lines, "model frames back", "gradient norm / maximum")
        figure.axes[0].set_yscale("log")
        figure.axes[0].set_ylim(1e-12, 1.5)
        figures[name] = figure
    return Finding("gradient-reach", tables, figures)


def per_frame(curve: dict[int, float | None]) -> float | None:
    """Mean factor per frame, from 20 frames back to the furthest lag with a gradient above 0."""
    known = [(lag, value) for lag, value in sorted(curve.items()) if value and lag >= 20]
    if len(known) < 2:
        return None
    (near, first), (far, last) = known[0], known[-1]
    return float((last / first) ** (1 / (far - near)))
