"""Equal terms: the hidden size at which a variant costs as much as the recipe's own model.

`params` and `macs` are counted. `time` (recognising one utterance) and `train-time` (one training
step) are measured on the device that trains, variant and reference in turn, so that a change in
the machine's speed affects both.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from speechgru.batches import Batch, collate
from speechgru.compare.spec import Match
from speechgru.errors import RecipeError
from speechgru.features import feature_size
from speechgru.manifest import Utterance
from speechgru.measure import time_ratio
from speechgru.model import RecurrentCTC, macs_per_second, parameter_count
from speechgru.recipe import Recipe
from speechgru.scoring.significance import signed_points
from speechgru.training.estimate import make_step

log = logging.getLogger(__name__)
MAX_HIDDEN_SIZE = 4096
TOLERANCE = {"params": 0.01, "macs": 0.01, "time": 0.10, "train-time": 0.10, "hidden-size": 0.0}
SECONDS = 8.0  # of audio in an utterance that is timed
TRIES = 8  # hidden sizes tried at most when matching times


@dataclass(frozen=True)
class ModelSize:
    """A variant's model before training; `ratio` is its cost ÷ the cost it should match."""

    hidden_size: int
    parameters: int
    macs_per_second: float  # multiply-accumulates per second of audio
    ratio: float
    within: bool  # the tolerance of the match


@dataclass(frozen=True)
class Candidate:
    """A model that could be trained: its recipe, and the size of its vocabulary."""

    recipe: Recipe
    tokens: int

    def sized(self, hidden_size: int) -> "Candidate":
        return replace(self, recipe=self.recipe.replace(model={"hidden_size": hidden_size}))

    def build(self, device: torch.device) -> RecurrentCTC:
        with device:
            return RecurrentCTC(self.recipe.model, feature_size(self.recipe.features), self.tokens)

    def parameters(self) -> int:
        return parameter_count(self.build(torch.device("meta")))  # shapes only, no memory

    def macs(self) -> float:
        """Multiply-accumulates per second of audio."""
        model = self.build(torch.device("meta"))
        return macs_per_second(model, self.recipe.features.frames_per_second)


def solve(
    match: Match, reference: Candidate, variant: Candidate, device: torch.device
) -> ModelSize:
    """The size at which `variant` costs as much as `reference`.

    Raises RecipeError: an unknown cell, or no size costs as much.
    """
    size, ratio = variant.recipe.model.hidden_size, 1.0
    if variant != reference and match in ("params", "macs"):
        count = Candidate.parameters if match == "params" else Candidate.macs
        size = nearest_size(lambda n: count(variant.sized(n)), count(reference))
        ratio = count(variant.sized(size)) / count(reference)
    elif variant != reference and match in ("time", "train-time"):
        size, ratio = _match_time(match, reference, variant, device)
    within = abs(ratio - 1) <= TOLERANCE[match] + 1e-9
    if not within:
        log.warning(
            "hidden size %d comes closest to equal %s, but is %s %% off (tolerance %.0f %%); "
            "a larger model.hidden_size can be matched more closely",
            size, match, signed_points(ratio - 1), 100 * TOLERANCE[match],
        )  # fmt: skip
    sized = variant.sized(size)
    return ModelSize(size, sized.parameters(), sized.macs(), ratio, within)


def nearest_size(cost: Callable[[int], float], wanted: float) -> int:
    """The hidden size whose cost is nearest to `wanted`; cost must increase with size."""
    low, high = 1, 2
    while high < MAX_HIDDEN_SIZE and cost(high) < wanted:
        low, high = high, min(2 * high, MAX_HIDDEN_SIZE)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) < wanted else (low, middle)
    best = min((low, high), key=lambda n: abs(cost(n) - wanted))
    if best == MAX_HIDDEN_SIZE and cost(best) < 0.9 * wanted:
        raise RecipeError(
            f"--match: no hidden size up to {MAX_HIDDEN_SIZE} is enough to equal the recipe's own "
            "model; lower model.hidden_size"
        )
    return best


def _match_time(
    match: Match, reference: Candidate, variant: Candidate, device: torch.device
) -> tuple[int, float]:
    """(hidden size, the variant's time ÷ the reference's): the best of at most TRIES sizes, the
    first of which has equal multiply-accumulates."""
    work = _recognition if match == "time" else _training_step
    fixed, wanted = work(reference, device), reference.macs()
    size = nearest_size(lambda n: variant.sized(n).macs(), wanted)
    tried: dict[int, float] = {}
    while len(tried) < TRIES and size not in tried:
        tried[size] = ratio = time_ratio(work(variant.sized(size), device), fixed, device)
        log.info("  hidden size %d takes %.2f × the reference's time on %s", size, ratio, device)
        if abs(ratio - 1) <= TOLERANCE["time"] / 2:
            break
        # Time grows between linearly (small: overhead) and quadratically (large: products).
        size = min(MAX_HIDDEN_SIZE, max(1, round(size * ratio ** (-1 / 1.5))))
    best = min(tried, key=lambda n: abs(math.log(tried[n])))
    return best, tried[best]


def _recognition(candidate: Candidate, device: torch.device) -> Callable[[], object]:
    """Log-probabilities of one utterance of SECONDS."""
    model, batch = candidate.build(device).eval(), _batch(candidate.recipe, 1, 1)

    def run() -> object:
        with torch.inference_mode():
            return model(batch.features.to(device), batch.lengths.to(device))[0].cpu()

    return run


def _training_step(candidate: Candidate, device: torch.device) -> Callable[[], object]:
    """One optimiser step over one batch of the recipe's size."""
    options, model = candidate.recipe.training, candidate.build(device).train()
    utterances = max(1, round(options.batch_seconds / SECONDS))
    batch = _batch(candidate.recipe, utterances, 2 if options.consistency else 1)
    step = make_step(model, options, device)
    return lambda: step(batch)


def _batch(recipe: Recipe, utterances: int, views: int) -> Batch:
    """Utterances of SECONDS as random features; their text does not matter."""
    frames, tokens = int(SECONDS * recipe.features.frames_per_second), [1] * 10
    rows = utterances * views
    features = torch.randn(rows, frames, feature_size(recipe.features))
    members = [Utterance("", SECONDS, "", str(number)) for number in range(utterances)]
    return collate(members, list(features), [tokens] * rows)
