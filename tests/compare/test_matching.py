"""Equal terms: the width that meets the reference's cost."""

import pytest

from speechgru.cells import CELLS
from speechgru.compare.matching import (
    TOLERANCE,
    at_width,
    count_macs,
    count_parameters,
    nearest_width,
    solve,
)
from speechgru.compare.question import with_value
from speechgru.errors import RecipeError
from speechgru.recipe import make_recipe

REFERENCE = make_recipe({"model": {"cell": "gru", "layers": 2, "width": 128}})
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
    small = make_recipe({"model": {"cell": "gru", "layers": 2, "width": 6}})
    size = solve("params", small, with_value(small, "model.cell", "rnn"), TOKENS, TOKENS)
    assert size.within == (abs(size.ratio - 1) <= TOLERANCE["params"])
    assert size.within != ("nearest to an equal number" in caplog.text)


def test_matching_by_time_comes_near_or_says_so():
    small = make_recipe({"model": {"cell": "gru", "layers": 1, "width": 64, "factor": 4}})
    size = solve("time", small, with_value(small, "model.cell", "rnn"), TOKENS, TOKENS)
    assert size.width >= 1
    assert 0.3 < size.ratio < 3
    assert size.within == (0.9 <= size.ratio <= 1.1)


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
