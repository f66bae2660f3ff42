"""Lists in other forms than a table, as the rows of one: JSON, trn, stm, Festival's prompts and
wav2letter's lists."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.corpora.columns import Row, Table, table_of_rows
from speechgru.corpora.json_lines import parse_lines
from speechgru.files import Json

TRANSCRIPT = {"format", "file", "text", "words"}  # keys of our own transcripts
SCALARS = (str, int, float)
TRN = re.compile(r"(?P<text>.*)\((?P<file>[^()\s]+)\)")
PROMPT = re.compile(r'\(\s*(?P<file>\S+)\s+"(?P<text>.*)"\s*\)')
STM = re.compile(
    r"(?P<file>\S+)\s+(?P<channel>\S+)\s+(?P<speaker>\S+)\s+(?P<start>[\d.]+)\s+(?P<end>[\d.]+)\s+"
    r"(?:<\S*>(?:\s+|$))?(?P<text>.*)"
)
WAV2LETTER = re.compile(  # between tabs, it is a table as others are
    rf"(?P<id>\S+) +(?P<file>\S+(?:{'|'.join(map(re.escape, sorted(AUDIO_SUFFIXES)))})) +"
    r"\d+(?P<point>\.\d+)? +(?P<text>[^\t]*)",
    re.IGNORECASE,
)
NOT_SCORED = "ignore_time_segment_in_scoring"

Numbered = tuple[int, Mapping[str, object]]  # the line of a row or 0, and the row


@dataclass(frozen=True, slots=True)
class ListRows:
    """`names`: of the columns; `rows`: their lines are 0 in JSON that is not one object per line.
    `wrong`: line number → what is wrong with a line that is no row."""

    names: list[str]
    rows: list[Row]
    wrong: dict[int, str]

    def table(self, is_audio: Callable[[str], bool], chosen: Mapping[str, str]) -> Table | None:
        """As `parse_table`."""
        table = table_of_rows(self.names, self.rows, is_audio, chosen)
        return table and replace(table, wrong=self.wrong)


def is_wav2letter(text: str) -> bool:
    """Whether at least half of the lines have a decimal point in what would be the duration; a few
    may begin with a number as the first word of their text."""
    if not WAV2LETTER.match(text):
        return False
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    found = [match for line in lines if (match := WAV2LETTER.fullmatch(line))]
    return 2 * sum(match["point"] is not None for match in found) >= len(lines)


def json_as_rows(text: str) -> ListRows:
    """A JSON list of objects, one under a key of its own, JSON lines, an object NAME: OBJECT or
    FILE: TEXT. Objects with a list of objects, such as segments, are a row for each of these.

    Raises ValueError for other JSON, or none, or our own transcripts.
    """
    try:
        values = json.loads(text)
    except ValueError:
        numbered, wrong = _json_lines(text)
        if len(wrong) >= len(numbered):
            raise
        return _lists_as_rows(numbered, wrong)
    if isinstance(values, dict) and values.keys() >= TRANSCRIPT:
        values = [values]
    if isinstance(values, dict):
        values = _of_object(values)
    rows = [row for row in values if isinstance(row, dict)] if isinstance(values, list) else []
    return _lists_as_rows([(0, row) for row in rows], {})


def json_lines_as_rows(text: str) -> ListRows:
    return _objects_as_rows(*_json_lines(text))


def _json_lines(text: str) -> tuple[list[tuple[int, Json]], dict[int, str]]:
    lines = text.split("\n")
    objects, wrong = parse_lines(lines, dict, "an object")
    numbers = [n for n, line in enumerate(lines, 1) if line.strip() and n not in wrong]
    return list(zip(numbers, objects, strict=True)), wrong


def _lists_as_rows(objects: Iterable[tuple[int, Json]], wrong: dict[int, str]) -> ListRows:
    """One row per part, without our own transcripts. Raises ValueError if none is left."""
    others = [(line, row) for line, row in objects if not row.keys() >= TRANSCRIPT]
    rows = [(line, part) for line, row in others for part in _parts(row)]
    if not rows:
        raise ValueError("no objects")
    return _objects_as_rows(rows, wrong)


def _objects_as_rows(rows: Sequence[Numbered], wrong: dict[int, str]) -> ListRows:
    """With a column for each key of any row, and KEY.NAME for what an object in a row has, as the
    audio of Hugging Face has its path; lists and deeper objects are not written."""
    rows = [
        (line, {name: v for k, value in row.items() for name, v in _values(k, value)})
        for line, row in rows
    ]
    return _list_rows(list(dict.fromkeys(key for _, row in rows for key in row)), rows, wrong)


def _values(key: str, value: object) -> list[tuple[str, object]]:
    nested = value if isinstance(value, dict) else {}
    named = [(key, value), *((f"{key}.{name}", v) for name, v in nested.items())]
    return [(" ".join(name.split()), v) for name, v in named if isinstance(v, SCALARS)]


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


def _of_lines(pattern: re.Pattern[str]) -> Callable[[str], ListRows]:
    def as_rows(text: str) -> ListRows:
        found: list[Numbered] = []
        wrong: dict[int, str] = {}
        for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
            if match := pattern.fullmatch(line):
                if match["text"].strip().lower() != NOT_SCORED:
                    found.append((number, match.groupdict()))
            elif line and not line.startswith(";;"):
                wrong[number] = f"expected a line as the others are, found {line:.60}"
        if len(wrong) >= len(found):
            raise ValueError(f"expected lines of another form: {next(iter(wrong.values()), '')}")
        return _list_rows(list(pattern.groupindex), found, wrong)

    return as_rows


def _list_rows(names: list[str], rows: Sequence[Numbered], wrong: dict[int, str]) -> ListRows:
    cells = [(line, [_cell(row.get(name)) for name in names]) for line, row in rows]
    return ListRows(names, [(n, row) for n, row in cells if any(map(str.strip, row))], wrong)


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).replace("\0", "").splitlines())


AS_ROWS: dict[str, Callable[[str], ListRows]] = {  # by suffix or name; ValueError for another text
    ".json": json_as_rows,
    ".jsonl": json_as_rows,
    ".trn": _of_lines(TRN),
    ".data": _of_lines(PROMPT),  # txt.done.data of Festival, CMU Arctic
    ".stm": _of_lines(STM),
    "wav2letter": _of_lines(WAV2LETTER),
}
