"""NeMo's manifests, ours included: JSON lines with audio_filepath, text and perhaps more keys.

The duration may be missing or wrong, and the text in a file of its own, text_filepath. Manifests
named train, dev (val) and test are the splits.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared, split_of, without_whole
from speechgru.corpora.encoding import encoding_notes, read_text
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.corpora.json_lines import parse_lines
from speechgru.errors import CorpusError, plural
from speechgru.files import Json

SUFFIXES = (".json", ".jsonl", ".manifest")
TEXTS = ("text", "transcript", "transcription", "sentence")


def find(folder: Folder) -> bool:
    return any(_is_manifest(file) for file in folder.ending(*SUFFIXES))


def read(folder: Folder) -> Prepared:
    files = [file for file in folder.ending(*SUFFIXES) if _is_manifest(file)]
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    notes, problems = [], []
    guesses: list[str] = []  # notes of encodings
    for file in files:
        recordings, wrong = parse_lines(
            read_text(file).text.split("\n"),
            partial(_recording, folder, file, finder, guesses),
            "an object with audio_filepath and text",
        )
        name = folder.relative(file)
        by_split.setdefault(split_of(name) or UNSPLIT, []).extend(recordings)
        notes.append(f"list: {name}, {plural(len(recordings), 'line')}")
        problems += [f"{name}:{number}: {problem}" for number, problem in wrong.items()]
    notes += encoding_notes(files)
    if guesses:
        notes.append(f"{guesses[0]} ({len(guesses):,} files are not UTF-8)")
    by_split = without_whole(by_split, notes)
    result = prepared(folder.root, by_split, [*notes, *finder.notes()], problems)
    return replace(result, read_from=tuple(files))


def _is_manifest(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            first = json.loads(stream.readline(1_000_000).decode("utf-8-sig", "replace"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and isinstance(first.get("audio_filepath"), str)


def _recording(
    folder: Folder, file: Path, finder: AudioFinder, guesses: list[str], row: Json
) -> Recording:
    name = row["audio_filepath"]
    if not isinstance(name, str):
        raise TypeError(f"audio_filepath is {name!r}")
    offset, duration = (_seconds(row.get(key)) for key in ("offset", "duration"))
    audio = finder.find(name, file.parent)
    default = folder.id_of(audio) if audio else name
    return Recording(
        id=str(row.get("id") or default + (f"@{offset!r}" if offset else "")),
        audio=audio,
        text=_text(file, guesses, row),
        speaker=_name(row.get("speaker")) or "",
        lang=_name(row.get("lang")),
        offset=offset or 0.0,
        duration=duration or None,
        problem=finder.problem(name),
    )


def _text(file: Path, guesses: list[str], row: Json) -> str:
    for key in TEXTS:
        if row.get(key) is not None:
            return str(row[key])
    if not isinstance(name := row.get("text_filepath"), str):
        return ""
    if not (path := file.parent / name).is_file():
        raise ValueError(f"there is no {name}")
    try:
        source = read_text(path)
    except CorpusError:
        raise ValueError(f"{name} cannot be read as text") from None
    guesses += source.notes(path)
    return " ".join(source.text.split())


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float | str) and 0 <= (seconds := float(value)) < 1e9:
        return seconds
    raise ValueError(f"{value!r} is not a number of seconds")


def _name(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
