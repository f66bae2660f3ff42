"""JSON lines: an object per line. A line without one, or whose object is not as expected, is a
problem of its own, as a damaged row of a table is."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from speechgru.files import Json

Parsed = TypeVar("Parsed")


def parse_lines(
    lines: Iterable[str | bytes], parse: Callable[[Json], Parsed], expected: str
) -> tuple[list[Parsed], dict[int, str]]:
    """What `parse` makes of the object in each line that is not blank; line number → what is wrong
    with a line that has none, or that `parse` cannot use."""
    found: list[Parsed] = []
    problems: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise TypeError(f"it is a {type(value).__name__}")
            found.append(parse(value))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            shown = line if isinstance(line, str) else line.decode(errors="replace")
            problems[number] = (
                f"expected {expected} ({reason.partition(':')[0]:.60}), found {shown.strip():.60}"
            )
    return found, problems
