"""Error rate by the length of utterances, and by the context that a model can use.

Limited context: at each model frame, the recurrent layers start from zeros and read only the
`context` frames before it (bidirectional models: and after it). The loss of accuracy shows what the
model uses of the rest, not what a model trained with so little context could do.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from research.probes.finding import Curves, Finding, Job, Record, Table, grouped, plot, spread
from research.probes.subjects import Subject, digest, some_utterances
from speechgru.batches import pad
from speechgru.checkpoint import Checkpoint
from speechgru.evaluation import evaluate_utterances
from speechgru.manifest import Utterance
from speechgru.model import RecurrentCTC
from speechgru.recognizer import Recognizer
from speechgru.scoring import Score

WINDOW_FRAMES = 100_000  # model frames of windows in memory at a time


class PassThrough(nn.Module):
    """Replaces the subsampling of a model whose input is subsampled already."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return x, lengths


class LimitedContext(nn.Module):
    """A model whose recurrent layers read `context` model frames before each one (bidirectional:
    and after it). A convolution's own context is not limited.

    Same call as RecurrentCTC: features (batch, frames, size), lengths → log_probs, lengths. Every
    frame is a window of its own: about 1 + context times the work of the model (bidirectional:
    twice that).
    """

    def __init__(self, model: RecurrentCTC, context: int) -> None:
        super().__init__()
        self.before, self.after = context, context if model.recipe.bidirectional else 0
        self.subsampling = model.subsampling
        self.rest = copy.deepcopy(model)
        self.rest.add_module("subsampling", PassThrough())

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x, lengths = self.subsampling(features, lengths)
        return pad([self._one(row[:length]) for row, length in zip(x, lengths, strict=True)])

    def _one(self, x: Tensor) -> Tensor:
        """(model frames, size) → (model frames, vocabulary)."""
        firsts = [max(0, t - self.before) for t in range(len(x))]
        windows = [x[first : t + 1 + self.after] for t, first in enumerate(firsts)]
        places = [t - first for t, first in enumerate(firsts)]
        count = max(1, WINDOW_FRAMES // (1 + self.before + self.after))
        found = []
        for start in range(0, len(x), count):
            log_probs, _ = self.rest(*pad(windows[start : start + count]))
            found.append(log_probs[torch.arange(len(log_probs)), places[start : start + count]])
        return torch.cat(found)


def length_jobs(
    subjects: Sequence[Subject],
    manifest: Path,
    contexts: Sequence[int],
    utterances: int = 100_000,
    bins: int = 5,
) -> list[Job]:
    """For each subject, one job with unlimited context and one per context (model frames)."""
    chosen = some_utterances(manifest, utterances)
    jobs = []
    for subject in subjects:
        for context in (None, *contexts):
            settings = {
                "cell": subject.cell, "seed": subject.seed, "model": subject.digest,
                "frame_ms": subject.frame_ms, "manifest": digest(manifest),
                "utterances": len(chosen), "context": context, "bins": bins,
            }  # fmt: skip
            jobs.append(Job(settings, partial(_measure, subject, chosen, context, bins)))
    return jobs


def _measure(
    subject: Subject, utterances: Sequence[Utterance], context: int | None, bins: int
) -> Record:
    return measure(subject.checkpoint, utterances, context, bins) | {"shape": subject.shape}


def measure(
    checkpoint: Checkpoint, utterances: Sequence[Utterance], context: int | None, bins: int
) -> Record:
    """WER and CER of all utterances; with unlimited context (None) also WER by length."""
    if context is not None:
        model: Any = LimitedContext(checkpoint.model, context)
        checkpoint = replace(checkpoint, model=model)
    evaluation = evaluate_utterances(Recognizer(checkpoint), utterances)
    score = evaluation.score
    record: Record = {"wer": score.wer, "cer": score.cer, "failed": len(evaluation.failed)}
    if context is None:
        record["by_length"] = wer_by_length(score, {u.id: u.duration for u in utterances}, bins)
    return record


def wer_by_length(score: Score, seconds: dict[str, float], bins: int) -> list[Record]:
    """`bins` groups of equally many utterances, by duration: median duration, number of reference
    words, and WER (total errors / total words) of each."""
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


def summarise(records: Sequence[Record]) -> Finding:
    """WER by duration, and by context if any was limited: a table and a figure each."""
    by_duration = Table("WER % by duration", [])
    by_context = Table("WER % by context", [])
    duration_lines, context_lines = [], []
    for cell, models in grouped(records).items():
        groups = [record["by_length"] for record in models if record["context"] is None]
        names = [
            f"{n}: {group['seconds']:.3g} s, {group['words']} words"
            for n, group in enumerate(groups[0], 1)
        ]
        curves = [[100 * group["wer"] for group in each] for each in groups]
        spreads = [spread(values) for values in zip(*curves, strict=True)]
        by_duration.rows.append({"cell": cell, **dict(zip(names, spreads, strict=True))})
        durations = [group["seconds"] for group in groups[0]]
        duration_lines.append(Curves(cell, durations, curves))

        wers: dict[float, list[float]] = {}  # seconds of context → one WER per model
        for record in models:
            frames = math.inf if record["context"] is None else record["context"]
            wers.setdefault(frames * record["frame_ms"] / 1000, []).append(100 * record["wer"])
        columns = {
            "unlimited" if seconds == math.inf else f"{seconds:.3g} s": spread(values)
            for seconds, values in wers.items()
        }
        failed = max(record["failed"] for record in models)
        by_context.rows.append({"cell": cell, **columns, "failed utterances": failed})
        del wers[math.inf]
        if wers:
            context_lines.append(Curves(cell, list(wers), list(zip(*wers.values(), strict=True))))
    figures = {
        f"wer-by-{by}": plot(f"WER by {by}", lines, f"{by} (s)", "WER (%)")
        for by, lines in (("duration", duration_lines), ("context", context_lines))
        if lines
    }
    for figure in figures.values():
        figure.axes[0].set_ylim(bottom=0)
    return Finding("length", [by_duration, by_context], figures)
