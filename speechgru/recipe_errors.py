"""Errors of settings in plain words: the setting, the values allowed, the value found."""

import difflib
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo


def explain(validation: ValidationError, recipe: type[BaseModel], former: Mapping[str, str]) -> str:
    """The first error: the setting, what is expected, what was found."""
    error = validation.errors()[0]
    path = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        return _explain_unknown(path, recipe, former)
    if error["type"] == "value_error":  # of a validator here, which names what it found
        return f"{'.'.join(path)}: {error['msg'].removeprefix('Value error, ')}"
    section = recipe.model_fields.get(path[0])
    fields = getattr(section.annotation, "model_fields", {}) if section else {}
    if len(path) > 1 and path[1] in fields:
        expected = expected_values(fields[path[1]])
        found = "nothing" if error["input"] is None else repr(error["input"])
        return f"{'.'.join(path[:2])}: expected {expected}, found {found:.80}"
    return f"{'.'.join(path)}: expected settings such as 'key: value', found {error['input']!r:.80}"


def _explain_unknown(path: list[str], recipe: type[BaseModel], former: Mapping[str, str]) -> str:
    """An unknown key, with its new name, the nearest valid one, or the section it is in."""
    key, name = ".".join(path), path[-1].rpartition(".")[2]
    section = recipe.model_fields[path[0]].annotation if len(path) > 1 else recipe
    fields = section.model_fields if isinstance(section, type) else {}
    elsewhere = [
        other
        for other, field in recipe.model_fields.items()
        if name in getattr(field.annotation, "model_fields", {})
    ]
    if key in former:
        hint = former[key]
    elif elsewhere:
        hint = f"{name!r} is a setting of the section {elsewhere[0]!r}"
    elif near := difflib.get_close_matches(path[-1], fields, n=1, cutoff=0.5):
        hint = f"did you mean {'.'.join([*path[:-1], near[0]])!r}?"
    else:
        hint = f"expected one of {', '.join(fields)}"
    return f"unknown key {key!r}: {hint}"


def expected_values(field: FieldInfo) -> str:
    """The type and range of a setting's values, such as "a whole number from 1 to 16"."""
    kinds = get_args(field.annotation) or (field.annotation,)
    null = " or null" if type(None) in kinds else ""
    if get_origin(field.annotation) is Literal:
        *others, last = map(str, kinds)
        return f"{', '.join(others)} or {last}"
    number = f"a {'whole ' if int in kinds else ''}number"
    if get_origin(field.annotation) is tuple:
        return "two numbers, [lowest, highest]"
    if get_origin(field.annotation) is list:
        numbers = float in kinds
        return "a list of numbers, such as [0.9, 1.1]" if numbers else "paths, such as [a, b]"
    if bool in kinds or str in kinds:
        return ("true or false" if bool in kinds else "a string") + null
    limits = {
        kind: f"{getattr(limit, kind):,}"
        for limit in field.metadata
        for kind in ("ge", "gt", "le", "lt")
        if hasattr(limit, kind)
    }
    if {"ge", "le"} <= limits.keys():
        return f"{number} from {limits['ge']} to {limits['le']}{null}"
    words = {"ge": "of at least", "gt": "above", "le": "up to", "lt": "below"}
    ranges = [f"{words[kind]} {limits[kind]}" for kind in words if kind in limits]
    return f"{number} {' and '.join(ranges)}".rstrip() + null
