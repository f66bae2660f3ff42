"""Equal terms: the width at which a variant costs what the recipe's own model costs.

`params` and `macs` are counted and can be met to a unit of width; times are measured, candidate
and reference by turns, so that a machine that slows down slows both.
"""

import logging
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from speechgru.compare.question import Match, with_value
from speechgru.errors import RecipeError
from speechgru.features import feature_size
from speechgru.model import RecurrentCTC, macs_per_second, model_frames, parameter_count
from speechgru.recipe import Recipe

log = logging.getLogger(__name__)
MAX_WIDTH = 4096
TOLERANCE = {"params": 0.01, "macs": 0.01, "time": 0.10, "train-time": 0.10, "width": 0.0}
SECONDS = 8.0  # of audio in a timed utterance
TIMINGS = 5  # of which the median counts
TRIES = 8  # of widths, when matching times


@dataclass(frozen=True)
class Size:
    """What a model costs before anyone trains it; `ratio` to what was to be met."""

    width: int
    parameters: int
    macs_per_second: float  # of audio
    ratio: float
    within: bool  # the tolerance of the match

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def solve(
    match: Match, reference: Recipe, variant: Recipe, wanted_tokens: int, vocabulary: int
) -> Size:
    """The size of `variant` that meets the cost of `reference`; its own width for `width`.

    The vocabularies are of `wanted_tokens` and `vocabulary` tokens; times are measured on a CPU.

    Raises RecipeError for a cell that is not in the table, or when no width can meet it.
    """
    if match == "width" or variant == reference:
        return _size(variant, variant.model.hidden_size, vocabulary, 1.0, match)
    if match in ("time", "train-time"):
        width, ratio = _solve_time(match, reference, variant, wanted_tokens, vocabulary)
    else:
        count = count_parameters if match == "params" else count_macs
        wanted = count(reference, wanted_tokens)
        width = nearest_width(lambda w: count(at_width(variant, w), vocabulary), wanted)
        ratio = count(at_width(variant, width), vocabulary) / wanted
    size = _size(variant, width, vocabulary, ratio, match)
    if not size.within:
        log.warning(
            "width %d is the nearest to an equal number of %s but %+.1f %% off (tolerance "
            "%.0f %%); a larger model.hidden_size can be met more closely",
            width, match, 100 * (ratio - 1), 100 * TOLERANCE[match],
        )  # fmt: skip
    return size


def count_parameters(recipe: Recipe, vocabulary: int) -> float:
    return parameter_count(_empty_model(recipe, vocabulary))


def count_macs(recipe: Recipe, vocabulary: int) -> float:
    """Multiply-accumulates a second of audio."""
    return macs_per_second(_empty_model(recipe, vocabulary), recipe.features.frames_per_second)


def at_width(recipe: Recipe, width: int) -> Recipe:
    return with_value(recipe, "model.hidden_size", width)


def nearest_width(cost: Callable[[int], float], wanted: float) -> int:
    """The width whose cost lies nearest to `wanted`; cost grows with width.

    >>> nearest_width(lambda w: 3.0 * w * w, 300.0)
    10
    """
    low, high = 1, 2
    while high < MAX_WIDTH and cost(high) < wanted:
        low, high = high, min(2 * high, MAX_WIDTH)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) < wanted else (low, middle)
    best = min((low, high), key=lambda w: abs(cost(w) - wanted))
    if best == MAX_WIDTH and cost(best) < 0.9 * wanted:
        raise RecipeError(f"no width up to {MAX_WIDTH} costs as much as the recipe's own model")
    return best


# Times -------------------------------------------------------------------------------------------


def _solve_time(
    match: Match, reference: Recipe, variant: Recipe, wanted_tokens: int, vocabulary: int
) -> tuple[int, float]:
    """(width, candidate's time ÷ reference's): the best of at most TRIES widths."""
    work = _inference if match == "time" else _training_step
    fixed = work(reference, wanted_tokens)
    macs = count_macs(reference, wanted_tokens)
    width = nearest_width(lambda w: count_macs(at_width(variant, w), vocabulary), macs)
    tried: dict[int, float] = {}
    while len(tried) < TRIES and width not in tried:
        tried[width] = ratio = _time_ratio(work(at_width(variant, width), vocabulary), fixed)
        log.info("  width %d takes %.2f × the reference's time", width, ratio)
        if abs(ratio - 1) <= TOLERANCE[match] / 2:
            break
        # Between linear (small, bound by overhead) and quadratic (large, bound by products).
        width = min(MAX_WIDTH, max(1, round(width * ratio ** (-1 / 1.5))))
    best = min(tried, key=lambda w: abs(math.log(tried[w])))
    return best, tried[best]


def _time_ratio(candidate: Callable[[], None], reference: Callable[[], None]) -> float:
    """Medians of TIMINGS each, taken by turns, after one call that counts for nothing."""
    candidate()
    reference()
    pairs = [(_seconds(candidate), _seconds(reference)) for _ in range(TIMINGS)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _inference(recipe: Recipe, vocabulary: int) -> Callable[[], None]:
    """The model over one utterance of SECONDS."""
    model = _random_model(recipe, vocabulary).eval()
    features, lengths = _features(recipe, 1)

    def run() -> None:
        with torch.inference_mode():
            model(features, lengths)

    return run


def _training_step(recipe: Recipe, vocabulary: int) -> Callable[[], None]:
    """Forward and backward over one batch of the recipe's size."""
    model = _random_model(recipe, vocabulary).train()
    rows = max(1, round(recipe.training.batch_seconds / SECONDS))
    features, lengths = _features(recipe, rows)
    targets = torch.ones(rows, 10, dtype=torch.int64)  # any text does; 0 is the blank

    def run() -> None:
        model.zero_grad(set_to_none=True)
        log_probs, frames = model(features, lengths)
        loss = nn.functional.ctc_loss(
            log_probs.transpose(0, 1), targets, frames, torch.full((rows,), 10)
        )
        loss.backward()  # type: ignore[no-untyped-call]

    return run


def _features(recipe: Recipe, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    frames = int(SECONDS * recipe.features.frames_per_second)
    assert model_frames(frames, recipe.model.factor) > 20
    values = torch.randn(rows, frames, feature_size(recipe.features))
    return values, torch.full((rows,), frames, dtype=torch.int64)


def _random_model(recipe: Recipe, vocabulary: int) -> RecurrentCTC:
    return RecurrentCTC(recipe.model, feature_size(recipe.features), vocabulary)


def _empty_model(recipe: Recipe, vocabulary: int) -> RecurrentCTC:
    with torch.device("meta"):  # shapes only: counting costs no memory
        return _random_model(recipe, vocabulary)


def _size(recipe: Recipe, width: int, vocabulary: int, ratio: float, match: Match) -> Size:
    sized = at_width(recipe, width)
    return Size(
        width,
        int(count_parameters(sized, vocabulary)),
        count_macs(sized, vocabulary),
        ratio,
        abs(ratio - 1) <= TOLERANCE[match] + 1e-9,
    )
