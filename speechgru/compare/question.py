"""What is compared: one setting of a recipe, several values of it, everything else equal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import yaml

from speechgru.errors import RecipeError
from speechgru.recipe import Recipe, make_recipe

Match = Literal["width", "params", "macs", "time", "train-time"]
CELL = "model.cell"
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the recipe's learning rate, tried by `--tune lr`


@dataclass(frozen=True)
class Variant:
    """One value of the setting, and the recipe with it."""

    name: str  # the value, made fit for a file name
    recipe: Recipe


@dataclass(frozen=True)
class Question:
    """The whole comparison, before anything is solved, tuned or trained."""

    recipe: Recipe
    key: str  # section.key that differs
    variants: tuple[Variant, ...]
    seeds: int = 1
    test: str | None = None  # manifest; None: dev is scored, and said to be
    by_speaker: bool = False  # one model a held-out speaker, test words pooled
    match: Match = "width"
    rates: tuple[float, ...] = ()  # learning rates tried on dev; () keeps the recipe's

    def to_json(self) -> dict[str, Any]:
        """What a folder's plan must agree with to go on."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "vary": self.key,
            "variants": [variant.name for variant in self.variants],
            "seeds": self.seeds,
            "test": self.test,
            "folds": "speaker" if self.by_speaker else None,
            "match": self.match,
            "learning_rates": list(self.rates),
        }


def ask(
    recipe: Recipe,
    vary: str | None = None,
    cells: str = "rnn,gru,lstm",
    seeds: int = 1,
    test: str | None = None,
    folds: str | None = None,
    match: str = "width",
    tune: str | None = None,
) -> Question:
    """The command line's words as a Question; `cells` is short for `vary` = model.cell=….

    Raises RecipeError: a key or value no recipe has, fewer than two values, an unknown choice.
    """
    key, values = split_vary(vary if vary is not None else f"{CELL}={cells}")
    variants = tuple(Variant(_file_name(value), with_value(recipe, key, value)) for value in values)
    names = [variant.name for variant in variants]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise RecipeError(f"{key}={','.join(values)}: a comparison needs two different values")
    if match not in get_args(Match):
        raise RecipeError(f"--match {match!r}: expected one of {', '.join(get_args(Match))}")
    if match != "width" and key == "model.hidden_size":
        raise RecipeError(
            f"--match {match} solves model.hidden_size, which --vary sets; leave one out"
        )
    if folds not in (None, "speaker"):
        raise RecipeError(f"--folds {folds!r}: expected speaker")
    _refuse_overwritten(key, folds, tune)
    return Question(
        recipe, key, variants, seeds, test, folds is not None, _match(match), _rates(tune, recipe)
    )


def _refuse_overwritten(key: str, folds: str | None, tune: str | None) -> None:
    """A setting that the plan sets itself would differ in name alone."""
    if key == "training.seed":
        raise RecipeError("--vary training.seed: --seeds K trains every variant with K seeds")
    if key == "training.learning_rate" and tune is not None:
        raise RecipeError(f"--tune chooses {key}, which --vary sets; leave one out")
    if key in ("data.train", "data.dev") and folds is not None:
        raise RecipeError(f"--folds makes {key} itself, which --vary sets; leave one out")


def split_vary(text: str) -> tuple[str, list[str]]:
    """`section.key=a,b,c` → the key and its values; commas inside brackets stay.

    >>> split_vary("augment.speed=[0.9, 1.1],[1.0]")
    ('augment.speed', ['[0.9, 1.1]', '[1.0]'])
    """
    key, equals, rest = text.partition("=")
    values, depth = [""], 0
    for char in rest:
        depth += (char in "[{(") - (char in ")}]")
        if char == "," and depth == 0:
            values.append("")
        else:
            values[-1] += char
    values = [value.strip() for value in values if value.strip()]
    if not equals or key.count(".") != 1 or not values:
        raise RecipeError(f"--vary {text!r}: expected section.key=a,b, e.g. model.cell=gru,lstm")
    return key.strip(), values


def with_value(recipe: Recipe, key: str, value: object) -> Recipe:
    """The recipe with one more value set; a text is read as YAML. Raises RecipeError."""
    if isinstance(value, str):
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            raise RecipeError(f"{key}={value}: the value is not plain YAML") from None
    section, name = key.split(".")
    values = recipe.model_dump(mode="json")
    values.setdefault(section, {})[name] = value
    return make_recipe(values, f"{key}={value}")


def with_values(recipe: Recipe, changes: dict[str, object]) -> Recipe:
    for key, value in changes.items():
        recipe = with_value(recipe, key, value)
    return recipe


def _rates(tune: str | None, recipe: Recipe) -> tuple[float, ...]:
    """`lr` tries FACTORS × the recipe's learning rate; `lr=0.001,0.003` these."""
    if tune is None:
        return ()
    name, equals, rest = tune.partition("=")
    if name.strip() != "lr" or bool(equals) != bool(rest):
        raise RecipeError(f"--tune {tune!r}: expected lr, or lr=0.001,0.003,0.01")
    if not rest:
        rates: Sequence[float] = [f * recipe.training.learning_rate for f in FACTORS]
    else:
        try:
            rates = [float(part) for part in rest.split(",")]
        except ValueError:
            raise RecipeError(f"--tune {tune!r}: learning rates are numbers") from None
    if len(set(rates)) < 2 or min(rates) <= 0:
        raise RecipeError(f"--tune {tune!r}: expected two or more different rates above 0")
    return tuple(sorted(float(f"{rate:.6g}") for rate in rates))


def _match(text: str) -> Match:
    return next(name for name in get_args(Match) if name == text)


def _file_name(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", value).strip("_.") or "empty"
