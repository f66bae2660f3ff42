"""NeMo's manifests, ours included: JSON lines with audio_filepath, text and perhaps more keys.

The duration may be missing or wrong. Manifests named train, dev (val) and test are the splits.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared, split_of, without_whole
from speechgru.corpora.encoding import encoding_notes, read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.errors import CorpusError

SUFFIXES = (".json", ".jsonl", ".manifest")
TEXTS = ("text", "transcript", "transcription", "sentence")


def find(folder: Folder) -> bool:
    return any(_is_manifest(file) for file in folder.ending(*SUFFIXES))


def read(folder: Folder) -> Prepared:
    """Raises CorpusError for a line that is not an object with audio_filepath."""
    files = [file for file in folder.ending(*SUFFIXES) if _is_manifest(file)]
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    notes = []
    for file in files:
        recordings = list(_recordings(folder, file, finder))
        split = split_of(folder.relative(file)) or UNSPLIT
        by_split.setdefault(split, []).extend(recordings)
        notes.append(f"list: {folder.relative(file)}, {len(recordings):,} lines")
    notes += encoding_notes(files)
    by_split = without_whole(by_split, notes)
    result = prepared(folder.root, by_split, [*notes, *finder.notes()])
    return replace(result, read_from=tuple(files))


def _is_manifest(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            first = json.loads(stream.readline(1_000_000).decode("utf-8-sig", "replace"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and isinstance(first.get("audio_filepath"), str)


def _recordings(folder: Folder, file: Path, finder: AudioFinder) -> Iterator[Recording]:
    for number, line in enumerate(read_text(file).text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = row["audio_filepath"]
            offset, duration = (_seconds(row.get(key)) for key in ("offset", "duration"))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CorpusError(
                f"{file}:{number}: expected an object with audio_filepath and text "
                f"({type(error).__name__}: {error!s:.60}), found {line:.60}"
            ) from None
        audio = finder.find(str(name), file.parent)
        default = folder.id_of(audio) if audio else str(name)
        text = next((row[key] for key in TEXTS if row.get(key) is not None), "")
        yield Recording(
            id=str(row.get("id") or default + (f"@{offset!r}" if offset else "")),
            audio=audio,
            text=str(text),
            speaker=_name(row.get("speaker")) or "",
            lang=_name(row.get("lang")),
            offset=offset or 0.0,
            duration=duration or None,
            problem=finder.problem(str(name)),
        )


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float | str) and 0 <= (seconds := float(value)) < 1e9:
        return seconds
    raise ValueError(f"{value!r} is not a number of seconds")


def _name(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
