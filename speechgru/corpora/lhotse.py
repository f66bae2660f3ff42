"""Lhotse's cuts: JSON lines, plain or gzip, one cut with its recording and supervisions per line.

Each supervision with text is an utterance. Audio must be a file: sources that are commands,
addresses or bytes in memory, mixed or padded cuts, and copies at another speed, whose times are not
those of the file, are named as problems.
"""

import codecs
import gzip
import json
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


def find(folder: Folder) -> bool:
    return any(_is_cuts(file) for file in folder.ending(*SUFFIXES))


def read(folder: Folder) -> Prepared:
    """Raises CorpusError for a file that cannot be read."""
    finder = AudioFinder(folder)
    by_split: dict[str, list[Recording]] = {}
    notes, problems = [], []
    for file in folder.ending(*SUFFIXES):
        if not _is_cuts(file):
            continue
        name = folder.relative(file)
        split = split_of(name.removesuffix(".gz")) or UNSPLIT
        parse = partial(_recordings, file, finder)
        cuts, wrong = parse_lines(_lines(file), parse, "a cut of Lhotse")
        problems += [f"{name}:{number}: {problem}" for number, problem in wrong.items()]
        by_split.setdefault(split, []).extend(chain.from_iterable(cuts))
        notes.append(f"list: {name}, cuts of Lhotse")
    return prepared(folder.root, by_split, [*notes, *finder.notes()], problems)


def _is_cuts(file: Path) -> bool:
    try:
        first = json.loads(next(_lines(file), b""))
    except (CorpusError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and str(first.get("type", "")).endswith("Cut")


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            yield stream.readline(MAX_LINE).removeprefix(codecs.BOM_UTF8)
            while line := stream.readline(MAX_LINE):
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{file}: cannot be read: {error!s:.80}") from None


def _unusable(cut: Json) -> str | None:
    if cut["type"] != "MonoCut":
        return f"a {cut['type']}; expected a MonoCut, which is a part of one recording"
    sources = cut["recording"]["sources"]
    if len(sources) != 1 or sources[0]["type"] != "file":
        kinds = ", ".join(sorted({str(source["type"]) for source in sources}))
        return f"its audio is {len(sources)} × {kinds}; expected one file"
    names = {str(transform["name"]) for transform in cut["recording"].get("transforms") or []}
    if changes := sorted(names & CHANGES_OF_TIME):
        return f"its recording is changed by {' and '.join(changes)}; expected it as in the file"
    return None


def _recordings(file: Path, finder: AudioFinder, cut: Json) -> list[Recording]:
    """One for each supervision; one without audio for a cut that cannot be used."""
    if unusable := _unusable(cut):
        return [Recording(str(cut.get("id")), None, "", problem=unusable)]
    source = str(cut["recording"]["sources"][0]["source"])
    audio = finder.find(source, file.parent)
    if audio is None and os.path.isfile(source):  # relative to the current folder, as in Lhotse
        audio = Path(os.path.abspath(source))
    found = []
    for supervision in cut.get("supervisions") or []:
        begin = max(0.0, float(supervision["start"]))  # relative to the cut
        end = min(
            float(cut["duration"]), float(supervision["start"]) + float(supervision["duration"])
        )
        found.append(
            Recording(
                id=str(supervision["id"]),
                audio=audio,
                text=str(supervision.get("text") or ""),
                speaker=str(supervision.get("speaker") or ""),
                lang=supervision.get("language"),
                offset=round(float(cut["start"]) + begin, 6),
                duration=round(end - begin, 6),
                problem=finder.problem(source),
                channel=str(cut.get("channel", "")),
            )
        )
    return found
