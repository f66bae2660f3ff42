"""Hugging Face's `audiofolder`: metadata.csv or metadata.jsonl with a column file_name, in the
folder or in its subfolders train, validation and test.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.columns import ROLES, to_seconds
from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared, split_named
from speechgru.corpora.encoding import read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.errors import CorpusError

LISTS = ("metadata.csv", "metadata.jsonl")
FILE = "file_name"


def find(folder: Folder) -> bool:
    return bool(_lists(folder))


def read(folder: Folder) -> Prepared:
    """Raises CorpusError for a list that cannot be parsed, or without a text."""
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    notes = []
    for file in _lists(folder):
        rows = list(_rows(file))
        for number, row in enumerate(rows, start=1):
            split, recording = _recording(folder, file, number, row, finder)
            by_split.setdefault(split, []).append(recording)
        notes.append(f"list: {folder.relative(file)}, {len(rows):,} rows")
    return prepared(folder.root, by_split, [*notes, *finder.notes()])


def _lists(folder: Folder) -> list[Path]:
    return [f for f in folder.files if f.name in LISTS and _has_file_names(f)]


def _has_file_names(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            first = stream.readline(1_000_000).decode("utf-8-sig")
        if file.suffix == ".csv":
            return FILE in next(csv.reader([first]))
        return FILE in json.loads(first)
    except (OSError, ValueError, TypeError, StopIteration, RecursionError, csv.Error):
        return False


def _rows(file: Path) -> Iterator[dict[str, object]]:
    text = read_text(file).text
    try:
        if file.suffix == ".csv":
            yield from csv.DictReader(io.StringIO(text))
            return
        for line in text.split("\n"):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"found {line:.60}")
                yield row
    except (ValueError, RecursionError, csv.Error) as error:
        raise CorpusError(f"{file}: expected rows with {FILE}: {error!s:.80}") from None


def _recording(
    folder: Folder, file: Path, number: int, row: dict[str, object], finder: AudioFinder
) -> tuple[str, Recording]:
    def value(role: str) -> str | None:
        key = next((key for key in ROLES[role] if row.get(key) not in (None, "")), None)
        return None if key is None else str(row[key]).strip()

    if not any(key in row for key in ROLES["text"]):
        raise CorpusError(
            f"{file}: no column for the text; found {', '.join(map(str, row))}; "
            "expected text, transcription or sentence"
        )
    name = str(row.get(FILE) or "")
    audio = finder.find(name, file.parent)
    duration = value("duration")
    parts = Path(folder.relative(audio or file)).parts[:-1]
    split = next((s for part in parts if (s := split_named(part))), UNSPLIT)
    return split_named(value("split") or "") or split, Recording(
        id=value("id") or (folder.id_of(audio) if audio else f"{file.name}:{number} {name}"),
        audio=audio,
        text=value("text") or "",
        speaker=value("speaker") or "",
        lang=value("lang"),
        duration=to_seconds(duration) if duration else None,
        problem=finder.problem(name),
    )
