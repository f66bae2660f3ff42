"""Lists in other forms than a table, as CSV with a header: JSON, trn, stm, Festival's prompts."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.corpora.json_lines import parse_lines

TRANSCRIPT = {"format", "file", "text", "words"}  # keys of our own transcripts
SCALARS = (str, int, float)
TRN = re.compile(r"(?P<text>.*)\((?P<file>[^()\s]+)\)")
PROMPT = re.compile(r'\(\s*(?P<file>\S+)\s+"(?P<text>.*)"\s*\)')
STM = re.compile(
    r"(?P<file>\S+)\s+(?P<channel>\S+)\s+(?P<speaker>\S+)\s+(?P<start>[\d.]+)\s+(?P<end>[\d.]+)\s+"
    r"(?:<\S*>\s+)?(?P<text>.*)"
)
NOT_SCORED = "ignore_time_segment_in_scoring"


AsCsv = tuple[str, dict[int, str]]  # the CSV; line number → what is wrong with a line


def json_as_csv(text: str) -> AsCsv:
    """A JSON list of objects, one under a key of its own, JSON lines, an object NAME: OBJECT or
    FILE: TEXT. Objects with a list of objects, such as segments, are a row for each of these.

    Raises ValueError for other JSON, or none, or our own transcripts.
    """
    wrong: dict[int, str] = {}
    try:
        values = json.loads(text)
    except ValueError:
        values, wrong = parse_lines(text.split("\n"), dict, "an object")
        if len(wrong) >= len(values):
            raise
    if isinstance(values, dict) and values.keys() >= TRANSCRIPT:
        values = [values]
    if isinstance(values, dict):
        values = _of_object(values)
    rows = [row for row in values if isinstance(row, dict)] if isinstance(values, list) else []
    rows = [row for row in rows if not row.keys() >= TRANSCRIPT]
    rows = [part for row in rows for part in _parts(row)]
    if not rows:
        raise ValueError("no objects")
    return _objects_as_csv(rows), wrong


def json_lines_as_csv(text: str) -> AsCsv:
    rows, wrong = parse_lines(text.split("\n"), dict, "an object")
    return _objects_as_csv(rows), wrong


def _objects_as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """With a column for each key of any row, and KEY.NAME for what an object in a row has, as the
    audio of Hugging Face has its path; lists and deeper objects are not written."""
    rows = [{name: v for k, value in row.items() for name, v in _values(k, value)} for row in rows]
    return _csv(list(dict.fromkeys(key for row in rows for key in row)), rows)


def _values(key: str, value: object) -> list[tuple[str, object]]:
    nested = value if isinstance(value, dict) else {}
    named = [(key, value), *((f"{key}.{name}", v) for name, v in nested.items())]
    return [(name, v) for name, v in named if isinstance(v, SCALARS)]


def _of_object(values: dict[str, object]) -> list[object]:
    """The one list in an object; else a row for each of its keys."""
    lists = [value for value in values.values() if isinstance(value, list)]
    if len(lists) == 1:
        return lists[0]
    rows: list[object] = []
    for name, value in values.items():
        key = "file" if name.lower().endswith(tuple(AUDIO_SUFFIXES)) else "id"
        if isinstance(value, dict):
            rows.append({key: name, **value})
        elif isinstance(value, SCALARS):
            rows.append({"file": name, "text": value})
    return rows


def _parts(row: dict[str, object]) -> list[dict[str, object]]:
    """The objects in the one list of objects that a row has, each with the row's other values."""
    lists = [v for v in row.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(lists) != 1:
        return [row]
    return [{**row, **part} for part in lists[0] if isinstance(part, dict)]


def _of_lines(pattern: re.Pattern[str]) -> Callable[[str], AsCsv]:
    def as_csv(text: str) -> AsCsv:
        found: list[dict[str, str]] = []
        wrong: dict[int, str] = {}
        for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
            if match := pattern.fullmatch(line):
                found.append(match.groupdict())
            elif line and not line.startswith(";;"):
                wrong[number] = f"expected a line as the others are, found {line:.60}"
        if len(wrong) >= len(found):
            raise ValueError(f"expected lines of another form: {next(iter(wrong.values()), '')}")
        rows = [row for row in found if row["text"].strip().lower() != NOT_SCORED]
        return _csv(list(pattern.groupindex), rows), wrong

    return as_csv


def _csv(names: list[str], rows: Iterable[Mapping[str, object]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


AS_CSV: dict[str, Callable[[str], AsCsv]] = {  # by suffix; ValueError for another text
    ".json": json_as_csv,
    ".jsonl": json_as_csv,
    ".trn": _of_lines(TRN),
    ".data": _of_lines(PROMPT),  # txt.done.data of Festival, CMU Arctic
    ".stm": _of_lines(STM),
}
