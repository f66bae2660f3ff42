"""Utterances, and the files that list them: one JSON object a line, with NeMo's keys.

    {"audio_filepath": "audio/a.wav", "duration": 2.5, "text": "two seven", "speaker": "anna"}

Design choices:
- `audio_filepath` is relative to the manifest's own folder, so a folder of data can be moved whole.
- Every fault names file and line. Whether the audio exists is `audio.py`'s business.
- Keys we do not know are ignored: manifests of other toolkits carry many.
"""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NoReturn

from speechgru.errors import ManifestError, printable
from speechgru.files import atomic_write

MAX_LINE_BYTES = 1_000_000
MAX_MANIFEST_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is spoken, in seconds from the utterance's start."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of sound and what is said in it. Times in seconds.

    `id` is unique within a manifest: `audio_filepath` without the folders that all lines share and
    without suffix; "@offset" is appended where the utterance is a part of its file.
    """

    audio: Path
    duration: float
    text: str
    id: str
    offset: float = 0.0
    speaker: str | None = None
    lang: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a parsed line stands and how it writes its audio."""

    place: str
    name: str
    values: dict[str, Any]


def read_manifest(path: str | Path) -> list[Utterance]:
    """The utterances of a manifest, in its order; `audio` becomes an absolute path.

    Raises ManifestError, naming file and line: missing or unreadable file, not JSON lines, a key
    missing or of the wrong kind, two lines for one piece of audio, no utterance at all, a line
    over 1 MB, a file over 2 GB.
    """
    file = Path(path)
    lines = [_parse(place, text) for place, text in _numbered_lines(file)]
    if not lines:
        raise ManifestError(f"{file}: no utterance in it; expected one JSON object a line")
    folder = Path(os.path.realpath(file)).parent
    ids = _unique_ids(lines)
    return [
        Utterance(audio=Path(os.path.normpath(folder / line.name)), id=id_, **line.values)
        for line, id_ in zip(lines, ids, strict=True)
    ]


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest whole or not at all; audio is named relative to the manifest's folder.

    Raises ManifestError: no utterances, or a folder that cannot be written to.
    """
    folder = Path(os.path.realpath(path)).parent
    text = "".join(_to_line(utterance, folder) for utterance in utterances)
    if not text:
        raise ManifestError(f"{path}: nothing to write; a manifest needs an utterance")
    atomic_write(path, text, ManifestError)


# Reading -----------------------------------------------------------------------------------------


def _numbered_lines(file: Path) -> Iterator[tuple[str, str]]:
    """("FILE:LINE", text) of each line that is not blank."""
    try:
        if (size := file.stat().st_size) > MAX_MANIFEST_BYTES:
            raise ManifestError(
                f"{file}: {size:,} bytes; a manifest may have {MAX_MANIFEST_BYTES:,}"
            )
        with file.open("rb") as stream:
            number = 0
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                place = f"{file}:{number}"
                if text := _decoded(raw, place, first=number == 1):
                    yield place, text
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise ManifestError(
            f"{file}: cannot be read as a manifest: {reason}; "
            "expected a file of JSON lines, such as `speechgru prepare` writes"
        ) from None


def _decoded(raw: bytes, place: str, first: bool) -> str:
    if len(raw) > MAX_LINE_BYTES:
        raise ManifestError(
            f"{place}: longer than {MAX_LINE_BYTES:,} bytes; expected one JSON object a line"
        )
    try:
        return raw.decode("utf-8-sig" if first else "utf-8").strip()
    except UnicodeDecodeError as fault:
        raise ManifestError(
            f"{place}: not UTF-8 (byte {raw[fault.start]:#04x} at {fault.start}); save it as UTF-8"
        ) from None


def _parse(place: str, text: str) -> _Line:
    """One line's values as Utterance takes them, all checked."""
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        reason = f"{fault}" if isinstance(fault, ValueError) else "nested too deeply"
        raise ManifestError(
            f"{place}: not JSON ({reason}); expected an object with audio_filepath, duration, text"
        ) from None
    if not isinstance(values, dict):
        raise ManifestError(
            f"{place}: expected a JSON object with audio_filepath, duration and text, "
            f"found {text:.40}"
        )
    name = _string(values, "audio_filepath", place)
    if not name or "\0" in name:
        _fault(place, "audio_filepath", name, "the path of a sound file")
    speaker = values.get("speaker")
    if isinstance(speaker, int) and not isinstance(speaker, bool):
        values["speaker"] = str(speaker)
    kept = {
        "duration": _seconds(values, "duration", place, positive=True),
        "text": _plain(_string(values, "text", place), "text", place),
        "offset": _seconds({"offset": 0.0, **_given(values)}, "offset", place),
        "speaker": _optional_string(values, "speaker", place),
        "lang": _optional_string(values, "lang", place),
        "words": _words(values, place),
    }
    return _Line(place, name, kept)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _fault(place: str, key: str, found: object, expected: str) -> NoReturn:
    raise ManifestError(f"{place}: {key} must be {expected}, found {found!r:.60}")


def _string(values: dict[str, Any], key: str, place: str) -> str:
    if key not in values:
        hint = ", ".join(list(values)[:8]) or "no key"
        raise ManifestError(f"{place}: no {key!r}; it has {hint}")
    if not isinstance(value := values[key], str):
        _fault(place, key, value, "a string")
    return value


def _optional_string(values: dict[str, Any], key: str, place: str) -> str | None:
    if values.get(key) is None:
        return None
    return _plain(_string(values, key, place), key, place)


def _plain(text: str, key: str, place: str) -> str:
    """Refuse half a surrogate pair: JSON may write one, no UTF-8 file can hold it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        _fault(place, key, ascii(text), "valid Unicode")
    return text


def _seconds(values: dict[str, Any], key: str, place: str, positive: bool = False) -> float:
    if key not in values:
        _string(values, key, place)
    value = values[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        seconds = float(value) if number else math.nan
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0 or (positive and seconds == 0):
        _fault(place, key, value, f"a number of seconds {'above' if positive else 'from'} 0")
    return seconds


def _words(values: dict[str, Any], place: str) -> tuple[Word, ...]:
    listed = values.get("words")
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        _fault(place, "words", listed, 'a list of {"word", "start", "end"}')
    words = []
    for item in listed:
        word = _plain(_string(item, "word", place), "word", place)
        start, end = _seconds(item, "start", place), _seconds(item, "end", place)
        if end < start:
            _fault(place, f"end of word {word!r}", end, f"at least its start, {start}")
        words.append(Word(word, start, end))
    return tuple(words)


# Naming ------------------------------------------------------------------------------------------


def _unique_ids(lines: list[_Line]) -> list[str]:
    """An id a line: name without suffix, or whole where two files differ only in suffix; "@offset"
    where it is not the only utterance of its file, or does not begin it."""
    short = _without_common_folder({line.name for line in lines})
    uses = Counter(line.name for line in lines)
    files: defaultdict[str, set[str]] = defaultdict(set)
    for name in uses:
        files[_stem(short[name])].add(name)
    seen: dict[str, str] = {}
    ids = []
    for line in lines:
        stem = _stem(short[line.name])
        id_ = stem if len(files[stem]) == 1 else short[line.name]
        offset = line.values["offset"]
        if offset > 0 or uses[line.name] > 1:
            id_ += f"@{offset:.10g}"
        id_ = printable(id_)
        if id_ in seen:
            raise ManifestError(
                f"{line.place}: {id_!r} is the same piece of audio as in {seen[id_]}; "
                "remove one of the two lines"
            )
        seen[id_] = line.place
        ids.append(id_)
    return ids


def _without_common_folder(names: set[str]) -> dict[str, str]:
    """Each name from where they begin to differ: an id, and every draw keyed by it, must not
    change because the corpus stands elsewhere."""
    parts = {name: PurePath(name).parts for name in names}
    common = 0
    for level in zip(*(folders[:-1] for folders in parts.values()), strict=False):
        if len(set(level)) > 1:
            break
        common += 1
    return {name: PurePath(*folders[common:]).as_posix() for name, folders in parts.items()}


def _stem(name: str) -> str:
    path = PurePath(name)
    return path.with_suffix("").as_posix() if path.suffix else path.as_posix()


# Writing -----------------------------------------------------------------------------------------


def _to_line(utterance: Utterance, folder: Path) -> str:
    values: dict[str, Any] = {
        "audio_filepath": _relative(utterance.audio, folder),
        "duration": utterance.duration,
        "text": utterance.text,
    }
    if utterance.offset:
        values["offset"] = utterance.offset
    if utterance.speaker is not None:
        values["speaker"] = utterance.speaker
    if utterance.lang is not None:
        values["lang"] = utterance.lang
    if utterance.words:
        values["words"] = [
            {"word": word.word, "start": word.start, "end": word.end} for word in utterance.words
        ]
    line = json.dumps(values, ensure_ascii=False, allow_nan=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # a file name whose bytes are not UTF-8
        line = json.dumps(values, allow_nan=False)
    return line + "\n"


def _relative(audio: Path, folder: Path) -> str:
    try:
        return PurePath(os.path.relpath(audio, folder)).as_posix()
    except ValueError:  # another drive
        return audio.as_posix()
