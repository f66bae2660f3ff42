"""Choosing the weights of a beam search on a dev set.

Design choices
- The model runs once: every setting decodes the same emissions.
- Of many settings on little data, the best one is partly luck. So a point of the grid language
  model weight × word score is judged by the errors of its neighbours too, and the cost of unknown
  words is changed, and the beam widened, only for an improvement of more than its standard error
  (paired, over utterances).
- The grid is decoded with the narrowest beam: wider ones take many times as long and lower the WER
  of all points by about as much.
- Even so, the WER on dev is optimistic. The surface shows how flat the surroundings are.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from speechgru.charts import to_svg
from speechgru.decoding import BeamSearch, Decoder, Emission, Greedy
from speechgru.decoding.references import match_references
from speechgru.decoding.settings import Decoding, load_decoder
from speechgru.decoding.words import spell
from speechgru.errors import LanguageModelError
from speechgru.files import atomic_write
from speechgru.manifest import Utterance
from speechgru.recognizer import OnProgress, Recognizer
from speechgru.scoring import Score, score

Errors = npt.NDArray[np.int64]
LM_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
WORD_SCORES = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0)
CHARACTER_SCORES = (-0.5, 0.0, 0.5, 1.0, 1.5)
UNKNOWN_COSTS = (2.0, 4.0, 6.0, 12.0, 16.0, None)
BEAMS = (25, 50, 100, 200)


@dataclass(frozen=True)
class Point:
    """A setting and its errors on dev."""

    decoding: Decoding
    errors: Errors  # (utterances,) word errors
    wer: float
    cer: float

    def is_better(self, other: "Point") -> bool:
        """Whether it has fewer errors, by more than the standard error of the difference."""
        difference = other.errors - self.errors
        return float(difference.sum()) > math.sqrt(float((difference**2).sum()))


@dataclass(frozen=True)
class Tuning:
    """What a search for weights found."""

    grid: tuple[Point, ...]  # language model weight × word score
    best: Point
    greedy: Score
    failed: dict[str, str]  # utterances that were not used: id → reason
    borders: tuple[str, ...]  # settings whose best value is the last one that was tried

    def note(self, manifest: str) -> str:
        """One line on where the weights come from."""
        return (
            f"chosen by `speechgru tune` on {manifest}: WER {100 * self.best.wer:.2f} %, greedy "
            f"{100 * self.greedy.wer:.2f} % ({self.greedy.words.reference} words)"
        )


@dataclass(frozen=True)
class _Dev:
    emissions: list[Emission]
    texts: list[str]
    recognizer: Recognizer

    def score(self, decoder: Decoder, workers: ThreadPoolExecutor) -> Score:
        checkpoint = self.recognizer.checkpoint

        def text(emission: Emission) -> str:
            """As `Recognizer.decode`, without the times of words, which take longer to find."""
            hypotheses = map(decoder, emission.sections())
            words = [word.text for one in hypotheses for word in spell(one, checkpoint.vocabulary)]
            return checkpoint.normalise(" ".join(words))

        return score(self.texts, list(workers.map(text, self.emissions)))


def tune(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    decoding: Decoding,
    on_progress: OnProgress = lambda done, total, name: None,
) -> Tuning:
    """Find the weights of `decoding` with the fewest word errors.

    Unknown words are tried at several costs, and not at all, where the lexicon is the language
    model's; a vocabulary of its own stays closed.

    Raises LanguageModelError when there is nothing to tune or a file cannot be used, and the last
    AudioError when no utterance can be read.
    """
    checkpoint = recognizer.checkpoint
    decoder = load_decoder(decoding, checkpoint.vocabulary, checkpoint.normalise)
    if decoder.lm is None and decoder.lexicon is None:
        raise LanguageModelError(
            "nothing to tune: give a language model (--lm) or a vocabulary (--vocabulary)"
        )
    dev, failed = _Dev([], [], recognizer), dict[str, str]()
    for utterance, emission in recognizer.readable_emissions(utterances, failed, on_progress):
        dev.emissions.append(emission)
        dev.texts.append(checkpoint.normalise(utterance.text))
    decoder = match_references(decoder, dev.texts, checkpoint.normalise)
    grid = list(_grid(decoding, decoder))
    costs = UNKNOWN_COSTS if decoder.lexicon and decoding.vocabulary is None else ()
    tried, total = 0, len(grid) + len(costs) + len(BEAMS[1:])

    with ThreadPoolExecutor(torch.get_num_threads()) as workers:

        def measure(setting: Decoding) -> Point:
            nonlocal tried
            result = dev.score(decoder.reweighted(setting.options()), workers)
            tried += 1
            on_progress(tried, total, "settings")
            errors = np.array([each.words.errors for each in result.utterances])
            return Point(setting, errors, result.wer, result.cer)

        greedy = dev.score(Greedy(checkpoint.vocabulary), workers)
        points = [measure(setting) for setting in grid]
        best = _flattest(points)
        others = [measure(_with(best.decoding, unknown_cost=cost)) for cost in costs]
        best = _clearly_best(best, others)
        wider = [measure(_with(best.decoding, beam=beam)) for beam in BEAMS[1:]]
    best = _narrowest([best, *wider])
    return Tuning(tuple(points), best, greedy, failed, _borders(best.decoding, decoder))


def _flattest(grid: Sequence[Point]) -> Point:
    """The point with the fewest errors, its neighbours' counted at half their weight; among equal
    ones that with the fewest character errors, then the smallest weights."""
    weights = sorted({point.decoding.lm_weight for point in grid})
    scores = sorted({point.decoding.word_score for point in grid})
    table = {(p.decoding.lm_weight, p.decoding.word_score): p for p in grid}

    def cost(point: Point) -> tuple[float, ...]:
        x = weights.index(point.decoding.lm_weight)
        y = scores.index(point.decoding.word_score)
        around = [(x + i, y) for i in (-1, 1) if len(weights) > 1]
        around += [(x, y + i) for i in (-1, 1) if len(scores) > 1]
        near = [
            table[weights[i], scores[j]].wer
            for i, j in around
            if 0 <= i < len(weights) and 0 <= j < len(scores)
        ]
        near += [max([point.wer, *near])] * (len(around) - len(near))  # unknown beyond the border
        smooth = point.wer + sum(near) / 2
        chosen = point.decoding
        return (round(smooth, 9), point.cer, chosen.lm_weight, abs(chosen.word_score))

    return min(grid, key=cost)


def _clearly_best(now: Point, others: Sequence[Point]) -> Point:
    """The best of the others where it is better beyond chance."""
    best = min(others, key=lambda point: point.errors.sum(), default=now)
    return best if best.is_better(now) else now


def _narrowest(beams: Sequence[Point]) -> Point:
    """The first, from narrow to wide, than which no wider one is better beyond chance."""
    return next(
        now
        for place, now in enumerate(beams)
        if not any(wider.is_better(now) for wider in beams[place + 1 :])
    )


def _with(decoding: Decoding, **changes: Any) -> Decoding:
    return decoding.model_copy(update=changes)


def _scores(decoder: BeamSearch) -> tuple[float, ...]:
    return CHARACTER_SCORES if decoder.lexicon is None else WORD_SCORES


def _grid(decoding: Decoding, decoder: BeamSearch) -> Iterator[Decoding]:
    for weight in (0.0,) if decoder.lm is None else LM_WEIGHTS:
        for word_score in _scores(decoder):
            yield _with(decoding, lm_weight=weight, word_score=word_score, beam=BEAMS[0])


def _borders(best: Decoding, decoder: BeamSearch) -> tuple[str, ...]:
    found = []
    if decoder.lm is not None and best.lm_weight >= LM_WEIGHTS[-1]:
        found.append(f"lm_weight {best.lm_weight:g}")
    low, *_, high = _scores(decoder)
    if best.word_score <= low or best.word_score >= high:
        found.append(f"word_score {best.word_score:g}")
    if best.unknown_cost is not None and decoder.lexicon is not None:
        costs = [cost for cost in UNKNOWN_COSTS if cost is not None]
        if best.unknown_cost in (costs[0], costs[-1]):
            found.append(f"unknown_cost {best.unknown_cost:g}")
    if best.beam == BEAMS[-1]:
        found.append(f"beam {best.beam}")
    return tuple(found)


def plot(tuning: Tuning, path: Path) -> None:
    """WER of the first grid over the language model's weight, a line per word score, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    scores = sorted({point.decoding.word_score for point in tuning.grid})
    over_score = len({point.decoding.lm_weight for point in tuning.grid}) == 1
    for word_score in [None] if over_score else scores:
        line = [p for p in tuning.grid if word_score in (None, p.decoding.word_score)]
        across = [p.decoding.word_score if over_score else p.decoding.lm_weight for p in line]
        label = None if word_score is None else f"word score {word_score:g}"
        axes.plot(across, [100 * p.wer for p in line], marker="o", markersize=3, label=label)
    axes.axhline(100 * tuning.greedy.wer, color="grey", linestyle="--", label="greedy")
    best = tuning.best.decoding
    axes.plot(
        best.word_score if over_score else best.lm_weight, 100 * tuning.best.wer,
        marker="*", markersize=12, color="black", linestyle="none", label="chosen",
    )  # fmt: skip
    axes.set(xlabel="word score" if over_score else "language model weight", ylabel="WER on dev, %")
    highest = 100 * max(tuning.greedy.wer, *(point.wer for point in tuning.grid))
    axes.set_ylim(0, min(110.0, max(1.0, 1.1 * highest)))
    axes.legend(fontsize=8)
    atomic_write(path, to_svg(figure))
