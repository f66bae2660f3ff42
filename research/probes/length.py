"""Errors against how long utterances are, and against how much context is heard.

Truncated context: at each model frame, the recurrent layers hear that frame and C before it
(two-way ones: and C after it), from a state of zeros. What this costs is what the model *uses* of
the rest, not what another model trained on so little could do without it.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
from research.probes.subjects import CLAIMS, Subject, colour, digest, some_utterances
from speechgru.batches import pad
from speechgru.checkpoint import Checkpoint
from speechgru.evaluation import evaluate_utterances
from speechgru.figures import Axis, Series
from speechgru.manifest import Utterance
from speechgru.model import RecurrentCTC
from speechgru.recognizer import Recognizer
from speechgru.scoring import Score

ROWS = 100_000  # model frames of windows held at once
METHOD = (
    "WER of utterances in {bins} groups of equal size by duration; and WER when each model frame "
    "hears only so many frames before it (a two-way model: before and after it), from a state of "
    "zeros. Features are normalised as in training."
)


class Through(nn.Module):
    """Stands where frames have been made already: (x, lengths) as they are."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return x, lengths


class Truncated(nn.Module):
    """A model whose recurrent layers hear `context` model frames before each one (two-way: and
    after it). What a convolution hears of its neighbours is not cut.

    As RecurrentCTC: features (batch, frames, size), lengths → log_probs, lengths. Every frame is
    a window of its own, so the work is about 1 + context times that of the model (two-way: twice).
    """

    def __init__(self, model: RecurrentCTC, context: int) -> None:
        super().__init__()
        self.context, self.two_way = context, model.recipe.bidirectional
        self.subsampling = model.subsampling
        self.rest = copy.deepcopy(model)
        self.rest.add_module("subsampling", Through())

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.subsampling(features, lengths)
        return pad([self._one(row[:length]) for row, length in zip(x, lengths, strict=True)])

    def _one(self, x: Tensor) -> Tensor:
        """(model frames, size) → (model frames, vocabulary)."""
        frames = len(x)
        firsts = [max(0, t - self.context) for t in range(frames)]
        after = self.context if self.two_way else 0
        windows = [x[first : t + 1 + after] for t, first in enumerate(firsts)]
        together = max(1, ROWS // (1 + self.context + after))
        found = []
        for start in range(0, frames, together):
            log_probs, _ = self.rest(*pad(windows[start : start + together]))
            places = [t - first for t, first in enumerate(firsts)][start : start + together]
            found.append(log_probs[torch.arange(len(places)), torch.tensor(places)])
        return torch.cat(found)


def truncated(checkpoint: Checkpoint, context: int | None) -> Recognizer:
    """A recogniser that hears no more than `context` model frames to a side; None: everything."""
    if context is None:
        return Recognizer(checkpoint)
    model: Any = Truncated(checkpoint.model, context)  # the same call; the recogniser needs no more
    return Recognizer(replace(checkpoint, model=model))


def probe_length(
    subjects: Sequence[Subject],
    manifest: Path,
    rows: Rows,
    show: Show,
    contexts: Sequence[int] = (0, 5, 10, 20, 50, 100),
    bins: int = 5,
    utterances: int = 100_000,
) -> Finding:
    """WER of `subjects` on a manifest (or so many of its utterances), by length and by context.

    Raises ManifestError, and the first fault when no utterance can be read.
    """
    chosen = some_utterances(manifest, utterances)
    jobs = []
    for subject in subjects:
        for context in (None, *contexts):
            key = {
                "cell": subject.cell, "seed": subject.seed, "model": subject.digest,
                "two_way": subject.checkpoint.config.model.bidirectional,
                "frame_ms": subject.frame_ms, "manifest": digest(manifest),
                "utterances": len(chosen), "context": context, "bins": bins,
            }  # fmt: skip
            jobs.append(Job(key, partial(_measure, subject, chosen, context, bins)))
    return summarise(complete(rows, jobs, show), bins)


def _measure(
    subject: Subject, utterances: Sequence[Utterance], context: int | None, bins: int
) -> Row:
    return measure(subject.checkpoint, utterances, context, bins) | {"shape": subject.shape}


def measure(
    checkpoint: Checkpoint, utterances: Sequence[Utterance], context: int | None, bins: int
) -> Row:
    """WER and CER over all; with everything heard, also by length."""
    evaluation = evaluate_utterances(truncated(checkpoint, context), utterances)
    score = evaluation.score
    row: Row = {"wer": score.wer, "cer": score.cer, "failed": len(evaluation.failed)}
    if context is None:
        row["by_length"] = by_length(score, {u.id: u.duration for u in utterances}, bins)
    return row


def by_length(score: Score, seconds: dict[str, float], bins: int) -> list[Row]:
    """Utterances sorted by duration and cut into `bins` groups: each one's median duration, its
    number of reference words and its WER (summed errors over summed words)."""
    ordered = sorted(score.utterances, key=lambda each: seconds[each.id])
    groups = []
    for part in np.array_split(np.arange(len(ordered)), min(bins, len(ordered))):
        group = [ordered[index] for index in part]
        words = sum(each.words.reference for each in group)
        groups.append(
            {
                "seconds": float(np.median([seconds[each.id] for each in group])),
                "words": words,
                "wer": sum(each.words.errors for each in group) / max(words, 1),
            }
        )
    return groups


# Summing up --------------------------------------------------------------------------------------


def summarise(rows: Sequence[Row], bins: int) -> Finding:
    mine = grouped(rows, lambda row: str(row["cell"]))
    colours = {label: colour(models[0]["cell"]) for label, models in mine.items()}
    lengths = {label: _by_length(models) for label, models in mine.items()}
    contexts = {label: _by_context(models) for label, models in mine.items()}
    unread = max(row.get("failed", 0) for row in rows)
    lost = f" ({unread} of them cannot be read)" if unread else ""
    tables = (
        _table(f"length of utterance{lost}", lengths), _table(f"context heard{lost}", contexts)
    )  # fmt: skip
    figures = {
        "wer-by-length": _chart("length of utterance", "seconds", lengths, colours, tables[0]),
        "wer-by-context": _chart("context heard", "context, s", contexts, colours, tables[1]),
    }
    numbers = {
        name: {cell: [asdict(point) for point in points] for cell, points in found.items()}
        for name, found in (("length", lengths), ("context", contexts))
    }
    method = METHOD.format(bins=bins)
    return Finding("length", CLAIMS["length"], method, tables, numbers, figures)


@dataclass(frozen=True, slots=True)
class Point:
    """A cell's models at one length of utterance, or with one context heard."""

    seconds: float | None  # None: everything heard
    wers: list[float]  # one a model
    words: int | None = None  # of the reference; None: of all utterances


def _by_length(models: Sequence[Row]) -> list[Point]:
    whole = [row["by_length"] for row in models if row["context"] is None]
    return [
        Point(groups[0]["seconds"], [group["wer"] for group in groups], groups[0]["words"])
        for groups in zip(*whole, strict=True)
    ]


def _by_context(models: Sequence[Row]) -> list[Point]:
    found: dict[float | None, list[float]] = {}
    for row in models:
        context = None if row["context"] is None else row["context"] * row["frame_ms"] / 1000
        found.setdefault(context, []).append(row["wer"])
    return [Point(context, wers) for context, wers in found.items()]


def _chart(
    by: str, unit: str, found: dict[str, list[Point]], colours: dict[str, int], table: Table
) -> str:
    lines: list[Series] = []
    for label, points in found.items():
        placed = [point for point in points if point.seconds is not None]
        curves = zip(*([100 * wer for wer in point.wers] for point in placed), strict=True)
        seconds = [point.seconds or 0.0 for point in placed]
        lines.append(banded(label, seconds, list(curves), colours[label]))
    return chart(
        f"Word error rate by {by}", lines, Axis(unit, low=0), Axis("WER, %", low=0),
        "models of a cell", table.lines(),
    )  # fmt: skip


def _table(by: str, found: dict[str, list[Point]]) -> Table:
    places = {point.seconds: point.words for points in found.values() for point in points}
    head = ["cell"]
    for at, words in places.items():
        of = "" if words is None else f" ({words} words)"
        head.append("everything" if at is None else f"{at:.3g} s{of}")
    rows = []
    for cell, points in found.items():
        told = {
            point.seconds: spread([round(100 * each, 1) for each in point.wers]).told()
            for point in points
        }
        rows.append((cell, *(told.get(at, "–") for at in places)))
    return Table(f"WER % by {by}", tuple(head), tuple(rows))
