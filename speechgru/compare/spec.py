"""What is compared: one setting of a recipe, several values of it, everything else equal.

`parse` turns the command line's options into a `ComparisonSpec`; plan.json contains it.
"""

import itertools
import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from speechgru.corpora.common import unique_ids
from speechgru.errors import RecipeError
from speechgru.model import check_cell
from speechgru.recipe import Recipe
from speechgru.recipe_file import override

Match = Literal["hidden-size", "params", "macs", "time", "train-time"]
CELL = "model.cell"
CELLS = "rnn,gru,lstm"  # compared by default
LONGEST_NAME = 60  # characters; a file's name has up to 255 bytes, with two such parts
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # × the recipe's learning rate, tried by `--tune lr`


@dataclass(frozen=True)
class ComparisonSpec:
    """The whole comparison, before any size is solved, learning rate tuned or model trained."""

    recipe: Recipe
    key: str  # the setting that differs, as section.key
    variants: dict[str, str]  # name, for files → value, as YAML
    seeds: int = 1  # per variant
    test: str | None = None  # manifest; None: the dev set is scored, and reported as such
    by_speaker: bool = False  # leave-one-speaker-out: one model per held-out speaker
    match: Match = "hidden-size"
    learning_rates: tuple[float, ...] = ()  # tried on dev; (): the recipe's own is used

    @property
    def names(self) -> list[str]:
        return list(self.variants)

    def recipe_of(self, variant: str) -> Recipe:
        """The recipe with a variant's value, before its hidden size is matched."""
        return override(self.recipe, [f"{self.key}={self.variants[variant]}"])


def parse(
    recipe: Recipe,
    vary: str | None = None,
    cells: str | None = None,
    seeds: int = 1,
    test: str | None = None,
    folds: str | None = None,
    match: str = "hidden-size",
    tune: str | None = None,
) -> ComparisonSpec:
    """The command line's options as a ComparisonSpec; `cells` is short for `vary` = model.cell=….

    Raises RecipeError: an unknown key or value, fewer than two values, an unknown choice, options
    that contradict each other.
    """
    if vary is None:
        vary = f"{CELL}={CELLS if cells is None else cells}"
    elif cells is not None:
        raise RecipeError(f"--cells sets {CELL}; give either it or --vary {vary}")
    key, values = split_vary(vary)
    variants = dict(zip(unique_ids([file_name(value) for value in values]), values, strict=True))
    matches = {name: name for name in get_args(Match)}
    if match not in matches:
        raise RecipeError(f"--match {match!r}: expected one of {', '.join(matches)}")
    if folds not in (None, "speaker"):
        raise RecipeError(f"--folds {folds!r}: expected speaker")
    options = {
        "--seeds": key == "training.seed",
        "--match": key == "model.hidden_size" and match != "hidden-size",
        "--tune": key == "training.learning_rate" and tune is not None,
        "--folds": key in ("data.train", "data.dev") and folds is not None,
    }
    for option, sets_key in options.items():
        if sets_key:
            raise RecipeError(f"{option} sets {key}; give either it or --vary {key}")
    rates = learning_rates(tune, recipe) if tune is not None else ()
    by_speaker = folds is not None
    spec = ComparisonSpec(recipe, key, variants, seeds, test, by_speaker, matches[match], rates)
    recipes = [spec.recipe_of(name) for name in spec.names]  # a value that is not valid is refused
    if len(recipes) < 2 or any(a == b for a, b in itertools.combinations(recipes, 2)):
        raise RecipeError(f"{key}={','.join(values)}: expected at least two values, all different")
    for each in recipes:
        check_cell(each.model)
    return spec


def split_vary(text: str) -> tuple[str, list[str]]:
    """`section.key=a,b,c` → the key and its values; a comma inside brackets belongs to the value.

    >>> split_vary("augment.speed=[0.9, 1.1],[1.0]")
    ('augment.speed', ['[0.9, 1.1]', '[1.0]'])
    """
    key, _, rest = text.partition("=")
    values = [value.strip() for value in re.split(r",(?![^\[{(]*[\])}])", rest) if value.strip()]
    if key.count(".") != 1 or not values:
        raise RecipeError(f"--vary {text!r}: expected section.key=a,b, e.g. model.cell=gru,lstm")
    return key.strip(), values


def learning_rates(tune: str, recipe: Recipe) -> tuple[float, ...]:
    """`lr` gives FACTORS × the recipe's learning rate; `lr=0.001,0.003` these two."""
    name, equals, rest = tune.partition("=")
    try:
        if name.strip() != "lr" or bool(equals) != bool(rest):
            raise ValueError
        rates = [factor * recipe.training.learning_rate for factor in FACTORS]
        rates = [float(part) for part in rest.split(",")] if rest else rates
        rates = sorted({float(f"{rate:.6g}") for rate in rates})  # as in the runs' names
        if len(rates) < 2 or not all(0 < rate < math.inf for rate in rates):
            raise ValueError
    except ValueError:
        raise RecipeError(
            f"--tune {tune!r}: expected lr, or two or more rates above 0, as lr=0.001,0.003"
        ) from None
    return tuple(rates)


def file_name(text: str) -> str:
    """`text`, or the end of a longer one (paths differ there), as a part of a file's name:
    "[0.9, 1.1]" → "0.9_1.1"."""
    return re.sub(r"[^\w.+-]+", "_", text)[-LONGEST_NAME:].strip("_.") or "empty"
