"""What is compared: the command line's options as a spec, and what is refused."""

import pytest

from speechgru.compare.spec import FACTORS, parse, split_vary
from speechgru.errors import RecipeError
from speechgru.recipe import Recipe

RECIPE = Recipe()


def test_cells_is_short_for_vary():
    short = parse(RECIPE, cells="gru,lstm")
    assert short == parse(RECIPE, vary="model.cell=gru,lstm")
    assert short.names == ["gru", "lstm"]
    assert [short.recipe_of(name).model.cell for name in short.names] == ["gru", "lstm"]
    assert parse(RECIPE).names == ["rnn", "gru", "lstm"]


def test_any_setting_can_vary_and_nothing_else_does():
    spec = parse(RECIPE, vary="model.bidirectional=true,false")
    both, one = (spec.recipe_of(name) for name in spec.names)
    assert both == RECIPE
    assert one.model.bidirectional is False
    assert one.model.model_copy(update={"bidirectional": True}) == RECIPE.model


def test_a_comma_inside_brackets_belongs_to_the_value():
    spec = parse(RECIPE, vary="augment.speed=[0.9, 1.1],[1.0]")
    assert spec.names == ["0.9_1.1", "1.0"]
    assert [spec.recipe_of(name).augment.speed for name in spec.names] == [[0.9, 1.1], [1.0]]


@pytest.mark.parametrize(
    "values", [("日本.jsonl", "中国.jsonl"), ("a/b", "a_b"), ("x" * 300 + "1", "x" * 300 + "2")]
)
def test_different_values_have_different_names_that_a_file_can_have(values: tuple[str, str]):
    spec = parse(RECIPE, vary=f"data.dev={values[0]},{values[1]}")
    assert len(set(spec.names)) == 2
    assert max(map(len, spec.names)) < 100
    assert [spec.recipe_of(name).data.dev for name in spec.names] == list(values)


def test_every_variant_has_the_same_grid_of_learning_rates():
    rates = parse(RECIPE, tune="lr").learning_rates
    assert rates == tuple(factor * RECIPE.training.learning_rate for factor in FACTORS)
    assert parse(RECIPE, tune="lr=0.01,0.001").learning_rates == (0.001, 0.01)
    assert parse(RECIPE).learning_rates == ()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"vary": "model.cel=gru,lstm"}, "model.cell"),  # the nearest key
        ({"vary": "cell=gru,lstm"}, "cell=gru,lstm"),
        ({"vary": "model.layers=1,many"}, "many"),
        ({"cells": "gru"}, "model.cell=gru"),
        ({"cells": "gru,lstm", "vary": "model.layers=1,2"}, "--cells.*--vary model.layers=1,2"),
        ({"cells": "gru,gru"}, "model.cell=gru,gru"),
        ({"vary": "training.learning_rate=0.001,1e-3"}, "all different"),
        ({"cells": "gru,[half"}, "half"),
        ({"match": "size"}, "'size'.*params"),
        ({"vary": "model.hidden_size=8,16", "match": "params"}, "--match.*model.hidden_size"),
        ({"vary": "training.seed=1,2"}, "--seeds"),
        ({"vary": "training.learning_rate=0.1,0.2", "tune": "lr"}, "--tune"),
        ({"vary": "data.train=[a],[b]", "folds": "speaker"}, "--folds.*data.train"),
        ({"vary": "data.dev=a,b", "folds": "speaker"}, "--folds.*data.dev"),
        ({"tune": "dropout"}, "'dropout'"),
        ({"tune": "lr="}, "'lr='"),
        ({"tune": "lr=fast,slow"}, "fast"),
        ({"tune": "lr=0.1"}, "two or more"),
        ({"tune": "lr=0.1,0.10000001"}, "two or more"),
        ({"tune": "lr=0.1,-1"}, "above 0"),
        ({"tune": "lr=0.1,nan"}, "above 0"),
        ({"folds": "room"}, "'room'.*speaker"),
    ],
)
def test_options_that_contradict_or_are_unknown_are_refused(options, named):
    with pytest.raises(RecipeError, match=named):
        parse(RECIPE, **options)


def test_a_setting_may_vary_that_no_other_option_sets():
    assert parse(RECIPE, vary="model.hidden_size=8,16").match == "hidden-size"
    assert parse(RECIPE, vary="training.learning_rate=0.1,0.2").names == ["0.1", "0.2"]


def test_a_key_without_values_is_refused():
    with pytest.raises(RecipeError, match="expected section"):
        split_vary("model.cell=")
