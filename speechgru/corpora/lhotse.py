"""Lhotse's cuts, or its recordings and supervisions: JSON lines, plain or gzip.

Each supervision with text is an utterance, whole also where a cut, such as a window of a long
recording, contains a part of it. Audio must be a file: sources that are commands, addresses or
bytes in memory, mixed or padded cuts, and copies at another speed, whose times are not those of the
file, are named as problems.
"""

import codecs
import gzip
import json
import math
import os
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from speechgru.corpora.common import UNSPLIT, Prepared, Recording, prepared, split_of
from speechgru.corpora.folder import AudioFinder, Folder
from speechgru.corpora.json_lines import parse_lines
from speechgru.errors import CorpusError
from speechgru.files import Json

SUFFIXES = (".jsonl", ".jsonl.gz")
MAX_LINE = 10_000_000  # bytes
CHANGES_OF_TIME = {"Speed", "Tempo"}  # among the transforms of a recording

Audio = tuple[Path | None, str | None]  # a recording's file, or why there is none


def find(folder: Folder) -> bool:
    kinds = _files(folder).keys()
    return "cut" in kinds or kinds >= {"recording", "supervision"}


def read(folder: Folder) -> Prepared:
    """Raises CorpusError for a file that cannot be read."""
    finder = AudioFinder(folder)
    files = _files(folder)
    kind = "cut" if "cut" in files else "supervision"
    by_split: dict[str, list[Recording]] = {}
    notes, problems = [], []
    known: dict[str, Audio] = {}
    if kind == "supervision":
        for file in files.get("recording", []):
            listed, wrong = parse_lines(
                _lines(file), partial(_named_audio, file, finder), "a recording of Lhotse"
            )
            problems += _damaged(folder, file, wrong)
            for name, audio in listed:
                if known.setdefault(name, audio) != audio:
                    known[name] = None, "several recordings of this id, which differ; keep one"
    for file in files.get(kind, []):
        name = folder.relative(file)
        split = split_of(name.removesuffix(".gz")) or UNSPLIT
        parse = partial(_of_cut, file, finder) if kind == "cut" else partial(_utterances, known)
        utterances, wrong = parse_lines(_lines(file), parse, f"a {kind} of Lhotse")
        problems += _damaged(folder, file, wrong)
        by_split.setdefault(split, []).extend(chain.from_iterable(utterances))
        notes.append(f"list: {name}, {kind}s of Lhotse")
    return prepared(folder.root, by_split, [*notes, *finder.notes()], problems)


def _files(folder: Folder) -> dict[str, list[Path]]:
    """By what is in their lines: cut, recording or supervision."""
    found: dict[str, list[Path]] = {}
    for file in folder.ending(*SUFFIXES):
        try:
            first = json.loads(next(_lines(file), b""))
        except (CorpusError, ValueError, RecursionError):
            continue
        if not isinstance(first, dict):
            continue
        if str(first.get("type", "")).endswith("Cut"):
            found.setdefault("cut", []).append(file)
        elif first.keys() >= {"recording_id", "start", "duration"}:
            found.setdefault("supervision", []).append(file)
        elif first.keys() >= {"sources", "sampling_rate"}:
            found.setdefault("recording", []).append(file)
    return found


def _damaged(folder: Folder, file: Path, lines: dict[int, str]) -> list[str]:
    return [f"{folder.relative(file)}:{number}: {problem}" for number, problem in lines.items()]


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            yield stream.readline(MAX_LINE).removeprefix(codecs.BOM_UTF8)
            while line := stream.readline(MAX_LINE):
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{file}: cannot be read: {error!s:.80}") from None


def _audio(file: Path, finder: AudioFinder, recording: Json) -> Audio:
    """`file`: the list that contains the recording."""
    sources = recording["sources"]
    if len(sources) != 1 or sources[0]["type"] != "file":
        kinds = ", ".join(sorted({str(source["type"]) for source in sources}))
        return None, f"its audio is {len(sources)} × {kinds}; expected one file"
    names = {str(transform["name"]) for transform in recording.get("transforms") or []}
    if changes := sorted(names & CHANGES_OF_TIME):
        return (
            None,
            f"its recording is changed by {' and '.join(changes)}; expected it as in the file",
        )
    source = str(sources[0]["source"])
    audio = finder.find(source, file.parent)
    if audio is None and os.path.isfile(source):  # relative to the current folder, as in Lhotse
        audio = Path(os.path.abspath(source))
    return audio, None if audio else finder.problem(source)


def _named_audio(file: Path, finder: AudioFinder, recording: Json) -> tuple[str, Audio]:
    return str(recording["id"]), _audio(file, finder, recording)


def _of_cut(file: Path, finder: AudioFinder, cut: Json) -> list[Recording]:
    """One for each supervision; one without audio for a cut that cannot be used."""
    if cut["type"] != "MonoCut":
        found: Audio = (
            None,
            f"a {cut['type']}; expected a MonoCut, which is a part of one recording",
        )
    else:
        found = _audio(file, finder, cut["recording"])
    if found[1] is not None:
        return [Recording(str(cut.get("id")), None, "", problem=found[1])]
    start, channel = float(cut["start"]), str(cut.get("channel", ""))
    return [_utterance(each, found, start, channel) for each in cut.get("supervisions") or []]


def _utterances(known: dict[str, Audio], supervision: Json) -> list[Recording]:
    """`known`: the audio of each recording."""
    missing = None, "no recording of its recording_id"
    found = known.get(str(supervision["recording_id"]), missing)
    return [_utterance(supervision, found, 0.0, str(supervision.get("channel", "")))]


def _utterance(supervision: Json, audio: Audio, start: float, channel: str) -> Recording:
    """A supervision whose times are relative to `start`, seconds, in its recording."""
    begin = start + float(supervision["start"])
    end = begin + float(supervision["duration"])
    if not math.isfinite(end):
        raise ValueError(f"it ends at {end} s")
    offset = max(0.0, begin)
    return Recording(
        id=str(supervision["id"]),
        audio=audio[0],
        text=str(supervision.get("text") or ""),
        speaker=str(supervision.get("speaker") or ""),
        lang=supervision.get("language"),
        offset=round(offset, 6),
        duration=round(end - offset, 6),
        problem=audio[1],
        channel=channel,
    )
