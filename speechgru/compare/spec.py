"""What is compared: one setting of a recipe, several values of it, everything else equal.

`parse` turns the command line's options into a `ComparisonSpec`; plan.json contains it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from speechgru.errors import RecipeError
from speechgru.recipe import Recipe, override

Match = Literal["hidden-size", "params", "macs", "time", "train-time"]
CELL = "model.cell"
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # × the recipe's learning rate, tried by `--tune lr`


@dataclass(frozen=True)
class Variant:
    """One value of the setting that differs."""

    name: str  # the value as a part of file names
    value: str  # as given, YAML


@dataclass(frozen=True)
class ComparisonSpec:
    """The whole comparison, before any size is solved, learning rate tuned or model trained."""

    recipe: Recipe
    key: str  # the setting that differs, as section.key
    variants: tuple[Variant, ...]
    seeds: int = 1  # per variant
    test: str | None = None  # manifest; None: the dev set is scored, and reported as such
    by_speaker: bool = False  # leave-one-speaker-out: one model per held-out speaker
    match: Match = "hidden-size"
    learning_rates: tuple[float, ...] = ()  # tried on dev; (): the recipe's own is used

    @property
    def names(self) -> list[str]:
        """Of the variants."""
        return [variant.name for variant in self.variants]

    def recipe_of(self, variant: str) -> Recipe:
        """The recipe with a variant's value, before its hidden size is matched."""
        value = next(v.value for v in self.variants if v.name == variant)
        return override(self.recipe, [f"{self.key}={value}"])


def parse(
    recipe: Recipe,
    vary: str | None = None,
    cells: str = "rnn,gru,lstm",
    seeds: int = 1,
    test: str | None = None,
    folds: str | None = None,
    match: str = "hidden-size",
    tune: str | None = None,
) -> ComparisonSpec:
    """The command line's options as a ComparisonSpec; `cells` is short for `vary` = model.cell=….

    Raises RecipeError: an unknown key or value, fewer than two values, an unknown choice.
    """
    key, values = split_vary(vary if vary is not None else f"{CELL}={cells}")
    variants = tuple(Variant(_file_name(value), value) for value in values)
    names = [variant.name for variant in variants]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise RecipeError(f"{key}={','.join(values)}: expected at least two values, all different")
    if match not in get_args(Match):
        raise RecipeError(f"--match {match!r}: expected one of {', '.join(get_args(Match))}")
    if folds not in (None, "speaker"):
        raise RecipeError(f"--folds {folds!r}: expected speaker")
    _check_free(key, match, folds, tune)
    spec = ComparisonSpec(
        recipe=recipe,
        key=key,
        variants=variants,
        seeds=seeds,
        test=test,
        by_speaker=folds is not None,
        match=next(name for name in get_args(Match) if name == match),
        learning_rates=_learning_rates(tune, recipe),
    )
    for name in names:
        spec.recipe_of(name)  # a value that is not valid is refused now
    return spec


def split_vary(text: str) -> tuple[str, list[str]]:
    """`section.key=a,b,c` → the key and its values; a comma inside brackets belongs to the value.

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


def _check_free(key: str, match: str, folds: str | None, tune: str | None) -> None:
    """Refuse to vary a setting that the comparison itself sets: all variants would be equal."""
    if key == "training.seed":
        raise RecipeError(f"--vary {key}: use --seeds K to train every variant with K seeds")
    conflicts = {
        f"--match {match}": match != "hidden-size" and key == "model.hidden_size",
        f"--tune {tune}": tune is not None and key == "training.learning_rate",
        f"--folds {folds}": folds is not None and key in ("data.train", "data.dev"),
    }
    for option, conflict in conflicts.items():
        if conflict:
            raise RecipeError(f"{option} sets {key} itself; use either it or --vary {key}")


def _learning_rates(tune: str | None, recipe: Recipe) -> tuple[float, ...]:
    """`lr` gives FACTORS × the recipe's learning rate; `lr=0.001,0.003` these two."""
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
            raise RecipeError(f"--tune {tune!r}: expected numbers, as lr=0.001,0.003") from None
    if len(set(rates)) < 2 or min(rates) <= 0:
        raise RecipeError(f"--tune {tune!r}: expected two or more different rates above 0")
    return tuple(sorted(float(f"{rate:.6g}") for rate in rates))


def _file_name(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", value).strip("_.") or "empty"
