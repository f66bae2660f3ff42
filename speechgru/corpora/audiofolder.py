"""Hugging Face's `audiofolder`: metadata.csv or metadata.jsonl with a column file_name, in the
folder or in its subfolders train, validation and test.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.as_rows import json_lines_as_rows
from speechgru.corpora.columns import Table, to_seconds
from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared, split_named
from speechgru.corpora.encoding import read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.corpora.table import read_table
from speechgru.errors import plural

LISTS = ("metadata.csv", "metadata.jsonl")
FILE = "file_name"


def find(folder: Folder) -> bool:
    return bool(_lists(folder))


def read(folder: Folder) -> Prepared:
    """Raises CorpusError for a list without a text."""
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    notes: list[str] = []
    problems: list[str] = []
    for file in _lists(folder):
        source = read_text(file)
        content = json_lines_as_rows(source.text) if file.suffix == ".jsonl" else source.text
        table = read_table(folder, file, content, {"audio": FILE})
        if table is None:
            notes.append(f"list: {folder.relative(file)}, no name of an audio file; not used")
            continue
        for split, recording in _recordings(folder, file, table, finder):
            by_split.setdefault(split, []).append(recording)
        text_name = table.name(table.columns["text"])
        rows = plural(len(table.rows), "row")
        notes.append(f"list: {folder.relative(file)}, {rows}; text: {text_name}")
        notes += source.notes(file)
        problems += table.problems(folder.relative(file))
    return prepared(folder.root, by_split, [*notes, *finder.notes()], problems)


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


def _recordings(
    folder: Folder, file: Path, table: Table, finder: AudioFinder
) -> Iterator[tuple[str, Recording]]:
    for number, row in table.rows:
        name = table.value(row, "audio") or ""
        audio = finder.find(name, file.parent)
        duration = table.value(row, "duration")
        parts = Path(folder.relative(audio or file)).parts[:-1]
        split = next((s for part in parts if (s := split_named(part))), UNSPLIT)
        default = folder.id_of(audio) if audio else f"{file.name}:{number} {name}"
        recording = Recording(
            id=table.value(row, "id") or default,
            audio=audio,
            text=table.value(row, "text") or "",
            speaker=table.value(row, "speaker") or "",
            lang=table.value(row, "lang"),
            duration=to_seconds(duration) if duration else None,
            problem=finder.problem(name),
        )
        yield split_named(table.value(row, "split") or "") or split, recording
