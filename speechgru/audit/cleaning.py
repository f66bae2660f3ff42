"""Cleaned copies of manifests, and a list of every change.

Design choices:
- The manifests themselves are never changed.
- Only kinds whose `fix` says so change anything; every other problem needs a decision.
- A line keeps all its keys, also those that speechgru does not use.
"""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.audit.kinds import KINDS, Problem
from speechgru.errors import SpeechgruError
from speechgru.files import atomic_write
from speechgru.manifest import Utterance, find_manifest, numbered_lines, scan_manifest
from speechgru.manifest_writer import relative_path, to_json_line

CHANGES = "changes.jsonl"
CORRECTED = ("duration", "id", "text")  # keys of a manifest line, and the fixes that change them


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The files written, and how many lines of all manifests were kept (corrected ones among
    them), corrected and removed."""

    files: tuple[Path, ...]
    kept: int
    corrected: int
    removed: int


def write_cleaned(folder: Path, manifests: Sequence[Path], problems: Sequence[Problem]) -> Cleaned:
    """Write `folder`/NAME.jsonl for each manifest, and every change to `folder`/changes.jsonl.

    Raises SpeechgruError as `cleaned_files` does, when a file cannot be written, and when no line
    of a manifest would be kept, or one that would be has a value that cannot be copied.
    """
    *files, changes_file = cleaned_files(folder, manifests)
    by_line: dict[tuple[str, int], list[Problem]] = {}
    for problem in problems:
        if _action(problem) != "nothing":
            by_line.setdefault((problem.manifest, problem.line), []).append(problem)
    contents = {
        file: _clean(path, folder, by_line) for path, file in zip(manifests, files, strict=True)
    }
    for path, file in zip(manifests, files, strict=True):
        if not contents[file]:
            raise SpeechgruError(f"{path}: no line without problems is left; nothing is written")
    for file, lines in contents.items():
        atomic_write(file, "".join(lines))
    changes = [
        json.dumps({"action": _action(problem), **problem.to_json()}, ensure_ascii=False) + "\n"
        for found in by_line.values()
        for problem in found
    ]
    atomic_write(changes_file, "".join(changes))
    removed = sum(any(_action(p) == "remove" for p in found) for found in by_line.values())
    kept = sum(map(len, contents.values()))
    return Cleaned((*files, changes_file), kept, len(by_line) - removed, removed)


def cleaned_files(folder: Path, manifests: Sequence[Path]) -> list[Path]:
    """The file of each cleaned manifest in `folder`, then that of the changes.

    Raises SpeechgruError when two of them have the same name, or one would replace a manifest.
    """
    name, count = Counter(path.name for path in manifests).most_common(1)[0]
    if count > 1:
        raise SpeechgruError(f"{count} manifests are named {name}: fix them in separate commands")
    for path in manifests:
        if path.name == CHANGES:
            raise SpeechgruError(f"{path}: has the name of the list of changes; rename it")
    files = [folder / path.name for path in manifests] + [folder / CHANGES]
    sources = {os.path.realpath(path) for path in manifests}
    for file in files:
        if os.path.realpath(file) in sources:
            raise SpeechgruError(f"{file}: is one of the manifests; give another folder")
    return files


def _action(problem: Problem) -> str:
    """What is done about a problem: its kind's fix, if the right value is known."""
    fix = KINDS[problem.kind].fix
    if fix == "duration" and problem.correction is None:
        return "remove"  # it begins past the end of its file
    return "nothing" if fix in CORRECTED and problem.correction is None else fix


def _clean(
    path: Path, folder: Path, by_line: Mapping[tuple[str, int], Sequence[Problem]]
) -> list[str]:
    """The lines to keep, corrected, with audio paths relative to `folder`."""
    lines, real = [], Path(os.path.realpath(folder))
    raw = dict(numbered_lines(find_manifest(path)))
    for number, utterance in scan_manifest(path):
        problems = by_line.get((str(path), number), ())
        if not isinstance(utterance, Utterance) or any(_action(p) == "remove" for p in problems):
            continue
        try:
            values = json.loads(raw[number])
            values["audio_filepath"] = relative_path(utterance.audio, real)
            if not values.get("id"):
                values["id"] = utterance.id  # which the path gave it
            for problem in problems:
                values[_action(problem)] = problem.correction
            lines.append(to_json_line(values))
        except (ValueError, RecursionError) as error:  # in a key that is not used, such as 1e999
            reason = str(error).partition(";")[0]
            raise SpeechgruError(
                f"{path}:{number}: cannot be copied: {reason}; correct the line"
            ) from None
    return lines
