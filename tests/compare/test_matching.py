"""Equal terms: the width that meets the reference's cost."""

from collections.abc import Callable

import pytest
import torch
from asking import Clock

from speechgru.cells import CELLS
from speechgru.compare import matching
from speechgru.compare.matching import (
    at_width,
    count_macs,
    count_parameters,
    nearest_width,
    solve,
)
from speechgru.compare.question import Match, with_value
from speechgru.errors import RecipeError
from speechgru.model import RecurrentCTC
from speechgru.recipe import Recipe, make_recipe

REFERENCE = make_recipe({"model": {"cell": "gru", "layers": 2, "hidden_size": 128}})
TOKENS = 28


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("match", "count"), [("params", count_parameters), ("macs", count_macs)])
def test_the_solved_width_is_the_nearest(cell, match, count):
    variant = with_value(REFERENCE, "model.cell", cell)
    size = solve(match, REFERENCE, variant, TOKENS, TOKENS)
    wanted = count(REFERENCE, TOKENS)
    off = [abs(count(at_width(variant, size.width + d), TOKENS) - wanted) for d in (-1, 0, 1)]
    assert off[1] == min(off)
    assert size.ratio == pytest.approx(count(at_width(variant, size.width), TOKENS) / wanted)
    assert abs(size.ratio - 1) <= 0.01
    assert size.within


def test_what_is_met_is_the_cost_with_the_reference_s_own_vocabulary():
    variant = with_value(REFERENCE, "text.case", "keep")
    size = solve("params", REFERENCE, variant, TOKENS, 2 * TOKENS)
    wanted = count_parameters(REFERENCE, TOKENS)
    assert size.ratio == pytest.approx(size.parameters / wanted)
    assert size.parameters == count_parameters(at_width(variant, size.width), 2 * TOKENS)


def test_equal_width_changes_nothing():
    size = solve("width", REFERENCE, with_value(REFERENCE, "model.cell", "lstm"), TOKENS, TOKENS)
    assert (size.width, size.ratio, size.within) == (128, 1.0, True)


def test_a_width_too_coarse_is_told(caplog):
    small = make_recipe({"model": {"cell": "gru", "layers": 2, "hidden_size": 6}})
    size = solve("params", small, with_value(small, "model.cell", "rnn"), TOKENS, TOKENS)
    assert abs(size.ratio - 1) > 0.01
    assert not size.within
    assert f"width {size.width} is the nearest to an equal number of params" in caplog.text


SMALL = make_recipe({"model": {"cell": "gru", "layers": 1, "hidden_size": 64, "factor": 4}})
WORK = {"time": "_inference", "train-time": "_training_step"}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The widths whose calls were timed; a call is said to take width² seconds."""
    widths: list[int] = []

    def seconds(work: Callable[[], int]) -> float:
        widths.append(work())
        return float(widths[-1] ** 2)

    monkeypatch.setattr(matching, "_seconds", seconds)
    return widths


@pytest.mark.parametrize("match", WORK)
def test_matching_by_time_solves_a_cost_that_is_known(
    match: Match, timed: list[int], monkeypatch: pytest.MonkeyPatch
):
    def work(recipe: Recipe, vocabulary: int) -> Callable[[], int]:
        assert vocabulary == (TOKENS if recipe.model.cell == "gru" else TOKENS + 1)
        return lambda: recipe.model.hidden_size

    for name in WORK.values():
        monkeypatch.setattr(matching, name, None)  # what is not asked for is not called
    monkeypatch.setattr(matching, WORK[match], work)
    size = solve(match, SMALL, with_value(SMALL, "model.cell", "rnn"), TOKENS, TOKENS + 1)
    assert size.ratio == pytest.approx((size.width / 64) ** 2)
    assert abs(size.ratio - 1) <= 0.05  # half of the tolerance, so the search went on until here
    assert size.within
    rounds = [timed[k : k + 10] for k in range(0, len(timed), 10)]
    assert len(rounds) > 1, "the width of equal work was right at once"
    for turn in rounds:  # five times by turns, the candidate first
        assert turn == [turn[0], 64] * 5
    assert rounds[-1][0] == size.width


@pytest.mark.parametrize(("ratio", "within"), [(1.12, False), (1.08, True), (0.88, False)])
def test_times_are_met_within_a_tenth(ratio: float, within: bool, monkeypatch, caplog):
    """Whatever the width: nothing nearer is found."""
    monkeypatch.setattr(matching, "_time_ratio", lambda candidate, reference: ratio)
    size = solve("time", SMALL, with_value(SMALL, "model.cell", "rnn"), TOKENS, TOKENS)
    assert (size.ratio, size.within) == (ratio, within)
    assert ("nearest to an equal number of time" in caplog.text) == (not within)


def test_a_ratio_of_times_is_that_of_medians_after_a_call_that_counts_for_nothing(monkeypatch):
    clock, calls = Clock(), []
    monkeypatch.setattr(matching, "time", clock)

    def work(name: str, *seconds: float) -> Callable[[], None]:
        left = iter(seconds)

        def run() -> None:
            calls.append(name)
            clock.spend(next(left))

        return run

    candidate = work("candidate", 100, 6, 6, 1, 90, 2)  # median 6
    reference = work("reference", 100, 3, 50, 4, 1, 4)  # median 4
    assert matching._time_ratio(candidate, reference) == pytest.approx(6 / 4)
    assert calls == ["candidate", "reference"] * 6


def test_what_is_timed_is_an_utterance_or_a_batch(monkeypatch):
    """Eight seconds in frames of 10 ms, and the recipe's batch: 24 seconds are three of these."""
    seen, models = [], []
    forward, made = RecurrentCTC.forward, matching._random_model

    def watched(self: RecurrentCTC, features: torch.Tensor, lengths: torch.Tensor) -> object:
        seen.append((tuple(features.shape), lengths.tolist(), self.training))
        return forward(self, features, lengths)

    def kept(recipe: Recipe, vocabulary: int) -> RecurrentCTC:
        models.append(made(recipe, vocabulary))
        return models[-1]

    monkeypatch.setattr(RecurrentCTC, "forward", watched)
    monkeypatch.setattr(matching, "_random_model", kept)
    recipe = with_value(SMALL, "training.batch_seconds", 24)
    matching._inference(recipe, TOKENS)()
    matching._training_step(recipe, TOKENS)()
    mels = recipe.features.mels
    assert seen == [((1, 800, mels), [800], False), ((3, 800, mels), [800] * 3, True)]
    heard, trained = ([p.grad for p in model.parameters()] for model in models)
    assert heard == [None] * len(heard)
    assert all(gradient is not None and gradient.any() for gradient in trained)


@pytest.mark.parametrize("wanted", [1, 37, 1000, 12_345])
def test_nearest_width_of_a_known_cost(wanted):
    found = nearest_width(lambda w: float(w * w), float(wanted))
    assert found == min(range(1, 200), key=lambda w: abs(w * w - wanted))


def test_a_cost_out_of_reach_is_refused():
    with pytest.raises(RecipeError, match="no width"):
        nearest_width(float, 1e9)


def test_an_unknown_cell_is_named():
    with pytest.raises(RecipeError, match="gruu"):
        solve("width", REFERENCE, with_value(REFERENCE, "model.cell", "gruu"), TOKENS, TOKENS)
