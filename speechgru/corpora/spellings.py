"""A table of other spellings beside a corpus: its texts in one column, and in others the same
words in another script or language, such as class names and what is spoken."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from speechgru.corpora.encoding import read_text
from speechgru.corpora.folder import Folder
from speechgru.errors import CorpusError

SUFFIXES = (".csv", ".tsv")
MAX_BYTES = 1_000_000
DELIMITERS = ("\t", ",", ";", "|")


def find_spellings(
    folder: Folder, texts: set[str], lists: Sequence[Path]
) -> dict[str, Mapping[str, str]]:
    """ "FILE:COLUMN" → what each text is there, for tables other than `lists` that have all texts
    in one column."""
    found: dict[str, Mapping[str, str]] = {}
    for file in folder.ending(*SUFFIXES):
        if file in lists or not texts or file.stat().st_size > MAX_BYTES:
            continue
        try:
            header, *rows = _rows(read_text(file).text)
        except (CorpusError, ValueError):
            continue
        for key in range(len(header)):
            if texts <= {row[key] for row in rows}:
                for column, name in enumerate(header):
                    if column != key and all(row[column] for row in rows if row[key] in texts):
                        mapping = {row[key]: row[column] for row in rows}
                        found[f"{folder.relative(file)}:{name}"] = mapping
                break
    return found


def _rows(text: str) -> list[list[str]]:
    """Rows of equal length with at least two columns. Raises ValueError for another file."""
    for delimiter in DELIMITERS:
        rows = [
            list(map(str.strip, row)) for row in csv.reader(text.split("\n"), delimiter=delimiter)
        ]
        rows = [row for row in rows if row]
        if len(rows) > 1 and len(rows[0]) > 1 and {len(row) for row in rows} == {len(rows[0])}:
            return rows
    raise ValueError("not a table")
