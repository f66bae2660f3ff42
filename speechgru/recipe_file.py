"""Recipes from YAML files, and overrides from the command line.

YAML is read as plain values only: no tags, no aliases (a few of which can fill the memory), no key
twice.
"""

import os
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from speechgru.errors import RecipeError, reason_of
from speechgru.misspelt import similar_path
from speechgru.recipe import Recipe, make_recipe

MAX_RECIPE_BYTES = 1_000_000


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `section.key=value` overrides.

    `path` is a YAML file, a folder with `recipe.yaml` in it, or `recipes/NAME` of a recipe that is
    installed with the package. Raises RecipeError: missing or unreadable file, unknown key (with
    the nearest valid name), value of the wrong type.
    """
    file = find_recipe(path)
    recipe = make_recipe(_read_yaml(file), str(file))
    return override(recipe, overrides) if overrides else recipe


def override(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """A copy of a recipe with `section.key=value` overrides applied. Raises RecipeError."""
    values = recipe.model_dump(mode="json", exclude_unset=True)  # what is stated, no defaults
    for text in overrides:
        key, equals, value = text.partition("=")
        section, dot, name = key.strip().partition(".")
        if not (equals and dot and section and name):
            raise RecipeError(
                f"override {text!r:.80}: expected section.key=value, such as {_example(text)}"
            )
        try:
            values.setdefault(section, {})[name] = _override_value(section, name, value)
        except ValueError as error:
            raise RecipeError(f"override {text!r:.80}: not a plain YAML value: {error}") from None
    return make_recipe(values, f"override {' '.join(overrides)!r:.80}")


def setting_named(name: str) -> str | None:
    """The whole key of the setting that ends like this.

    >>> setting_named("hidden_size"), setting_named("size")
    ('model.hidden_size', None)
    """
    for section, field in Recipe.model_fields.items():
        if name in getattr(field.annotation, "model_fields", {}):
            return f"{section}.{name}"
    return None


def _example(text: str) -> str:
    """The override that is probably meant: `epochs=3` lacks its section."""
    key, _, value = text.partition("=")
    whole = setting_named(key.strip()) if value else None
    return f"{whole}={value}" if whole else "model.hidden_size=256"


def _override_value(section: str, name: str, text: str) -> Any:
    """The text as a YAML value; unchanged for a path or name, unless it is quoted, null or a list:
    YAML would make a number of 2024 and end `take #1/a.jsonl` at the #."""
    part = Recipe.model_fields.get(section)
    field = getattr(part.annotation, "model_fields", {}).get(name) if part else None
    if field is None or field.annotation not in (str, str | None, list[str]):
        return parse_yaml(text)
    text = text.strip()
    if text[:1] in ("'", '"', "[") or text in ("", "null"):
        try:
            value = parse_yaml(text)
        except ValueError:
            return text
        texts = value if isinstance(value, list) else [value]
        if value is None or all(isinstance(each, str) for each in texts):
            return value
    return text


def shipped_recipes() -> list[str]:
    """Names under recipes/, in the installed package or the repository."""
    return sorted({p.parent.name for folder in _folders() for p in folder.glob("*/recipe.yaml")})


def _folders() -> list[Path]:
    package = Path(__file__).parent
    return [package / "recipes", package.parent / "recipes"]


def find_recipe(path: str | Path, others: str = "") -> Path:
    """The YAML file that a path means; `others`: what else is expected there, for the message of
    RecipeError."""
    path = Path(os.path.expanduser(path))
    candidates = [path, path / "recipe.yaml"]
    if path.parts[:-1] == ("recipes",):
        candidates += [folder / path.name / "recipe.yaml" for folder in _folders()]
    for candidate in candidates:
        if os.path.isfile(candidate):
            return candidate
    found, hint = (None, "") if os.path.exists(path) else similar_path(path)
    if found is not None:
        return find_recipe(found, others)
    for suffix in (".yaml", ".yml"):
        if path.name and os.path.isfile(other := path.with_suffix(suffix)):
            hint = f"; there is {other}"
    what = "nothing there" if others else "no recipe there"
    raise RecipeError(
        f"{path}: {what}{hint}; expected {others}a YAML file, a folder with recipe.yaml, or "
        f"recipes/NAME with NAME one of {', '.join(shipped_recipes())}"
    )


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        if (size := file.stat().st_size) > MAX_RECIPE_BYTES:
            raise RecipeError(f"{file}: {size:,} bytes; expected at most {MAX_RECIPE_BYTES:,}")
        values = parse_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        manifest = " (a manifest? It is stated by data.train or data.dev of a recipe)"
        hint = manifest if file.suffix == ".jsonl" else ""
        raise RecipeError(f"{file}: not a plain YAML file{hint}: {error}") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise RecipeError(f"{file}: expected sections such as 'model:', found {values!r:.60}")
    # A section without keys is one without changes.
    return {key: {} if value is None else value for key, value in values.items()}


class _Loader(yaml.SafeLoader):
    """Scalars as in YAML 1.2: only true and false are booleans, 010 is ten, 1e-3 is a number; 1:30
    and 2024-01-01 are texts. In YAML 1.1 no is false, 010 is eight and 1:30 is ninety."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise yaml.YAMLError(f"the key {name!r:.40} is there twice; remove one")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def parse_yaml(text: str) -> Any:
    """The plain value of a YAML text. Raises ValueError with a reason in one line."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        tab = "; indent with spaces, not tabs" if "'\\t'" in str(error.problem) else ""
        raise ValueError(f"{str(error.problem).removeprefix('but ')}{place}{tab}") from None
    except (AttributeError, KeyError):  # PyYAML's, such as of !!bool maybe
        raise ValueError("a value that is not of its tag, such as !!bool maybe") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: too long a number
        raise ValueError(reason_of(error)) from None
