"""What is asked: the shorthand, the choices, and what is refused."""

import pytest

from speechgru.compare.question import FACTORS, ask, split_vary, with_value
from speechgru.errors import RecipeError
from speechgru.recipe import Recipe

RECIPE = Recipe()


def test_cells_is_short_for_vary():
    short = ask(RECIPE, cells="gru,lstm")
    assert short == ask(RECIPE, vary="model.cell=gru,lstm")
    assert [variant.recipe.model.cell for variant in short.variants] == ["gru", "lstm"]


def test_any_setting_can_vary():
    question = ask(RECIPE, vary="model.bidirectional=true,false")
    assert [variant.recipe.model.bidirectional for variant in question.variants] == [True, False]
    changed = question.variants[1].recipe
    assert with_value(changed, "model.bidirectional", True) == RECIPE


def test_commas_inside_brackets_belong_to_the_value():
    question = ask(RECIPE, vary="augment.speed=[0.9, 1.1],[1.0]")
    assert [variant.recipe.augment.speed for variant in question.variants] == [[0.9, 1.1], [1.0]]
    assert [variant.name for variant in question.variants] == ["0.9_1.1", "1.0"]


def test_every_variant_has_the_same_grid_of_learning_rates():
    rates = ask(RECIPE, tune="lr").rates
    assert rates == tuple(factor * RECIPE.training.learning_rate for factor in FACTORS)
    assert ask(RECIPE, tune="lr=0.01,0.001").rates == (0.001, 0.01)
    assert ask(RECIPE).rates == ()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"vary": "model.cel=gru,lstm"}, "model.cell"),
        ({"vary": "cell=gru,lstm"}, "section.key"),
        ({"cells": "gru"}, "two different"),
        ({"cells": "gru,gru"}, "two different"),
        ({"match": "size"}, "params, macs"),
        ({"vary": "model.hidden_size=8,16", "match": "params"}, "leave one out"),
        ({"vary": "training.seed=1,2"}, "--seeds"),
        ({"vary": "training.learning_rate=0.1,0.2", "tune": "lr"}, "leave one out"),
        ({"vary": "data.train=[a],[b]", "folds": "speaker"}, "leave one out"),
        ({"vary": "data.dev=a,b", "folds": "speaker"}, "leave one out"),
        ({"tune": "dropout"}, "lr"),
        ({"tune": "lr=fast,slow"}, "numbers"),
        ({"folds": "room"}, "speaker"),
    ],
)
def test_a_question_that_cannot_be_asked_is_explained(words, told):
    with pytest.raises(RecipeError, match=told):
        ask(RECIPE, **words)


def test_a_key_without_values_is_refused():
    with pytest.raises(RecipeError, match="expected section"):
        split_vary("model.cell=")
