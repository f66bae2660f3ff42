"""A folder of data, searched once: its files, and finding the audio that a list names."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.corpora.common import examples, files_of, preference
from speechgru.errors import CorpusError

UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # before a name that was uploaded to Label Studio
RIVALS = 2  # files named where several fit
RESULTS = {"ref.trn", "hyp.trn", "score.json"}  # in a folder that `evaluate` wrote
CLEANED = {"changes.jsonl"}  # in one that `audit --fix` wrote
MANIFESTS = {"train.jsonl", "audit.json"}  # in a folder NAME-manifests that `init` wrote


class Folder:
    """The files of a folder and its subfolders, without hidden ones. `root` is absolute.

    `written`: subfolders with results of `evaluate`, or manifests of `audit --fix` or `init`, whose
    files are not among `files`: texts of a recogniser, and what the folder had at that time.
    """

    def __init__(self, root: Path, with_manifests: bool = False) -> None:
        """`with_manifests`: those of `audit --fix` and `init` are among `files`, too.

        Raises CorpusError: not a folder, or one that cannot be searched.
        """
        if not os.path.isdir(root):
            found = "a file" if os.path.exists(root) else "no such folder"
            raise CorpusError(f"{root}: {found}; expected a folder of recordings")
        self.root = Path(os.path.abspath(root))
        files = list(files_of(self.root))
        names: dict[Path, set[str]] = {}
        for file in files:
            names.setdefault(file.parent, set()).add(file.name)
        names.pop(self.root, None)
        self.written = [
            folder
            for folder, found in names.items()
            if found >= RESULTS
            or (found >= CLEANED and not with_manifests)
            or (found >= MANIFESTS and folder.name.endswith("-manifests") and not with_manifests)
        ]
        skipped = set(self.written)
        self.files = [file for file in files if file.parent not in skipped]

    def notes(self) -> Iterable[str]:
        if self.written:
            shown = examples([self.relative(folder) for folder in self.written])
            yield f"files: those that speechgru wrote are skipped, in {shown}"

    @cached_property
    def audio(self) -> list[Path]:
        return [path for path in self.files if path.suffix.lower() in AUDIO_SUFFIXES]

    def ending(self, *suffixes: str) -> list[Path]:
        """The files whose names end so, in lower or upper case."""
        return [path for path in self.files if path.name.lower().endswith(suffixes)]

    def relative(self, path: Path) -> str:
        """A file's path from `root`, with forward slashes; as it is if it is elsewhere."""
        return path.relative_to(self.root).as_posix() if self.root in path.parents else str(path)

    def id_of(self, audio: Path) -> str:
        """An id that is unique in the folder: the relative path without suffix."""
        return os.path.splitext(self.relative(audio))[0]

    @cached_property
    def present(self) -> frozenset[str]:
        return frozenset(map(str, self.audio))

    @cached_property
    def by_key(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self.audio:
            found.setdefault(_key(path.stem), []).append(path)
        return found

    @cached_property
    def by_number(self) -> dict[int, list[Path]]:
        """The files whose names are numbers: a spreadsheet makes 7 of 007."""
        found: dict[int, list[Path]] = {}
        for path in self.audio:
            if path.stem.isdecimal():
                found.setdefault(int(path.stem), []).append(path)
        return found


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold().strip()


@dataclass
class AudioFinder:
    """Finds the audio that a list names, and counts the names that were not exactly right.

    `ambiguous`: names that fit several files equally well → these files.
    """

    folder: Folder
    corrected: dict[str, list[str]] = field(default_factory=dict)  # what differs → names
    ambiguous: dict[str, list[Path]] = field(default_factory=dict)

    def find(self, name: str, near: Path, hints: Collection[str] = ()) -> Path | None:
        """The file that `name` stands for in a list in the folder `near`; None if there is none,
        or if several fit.

        Looked for beside the list, below `root`, and as an absolute path; else a file of the same
        name elsewhere, the nearest to the list, with another suffix, in other case or Unicode form.
        Of several, the one is taken on whose way most folders are among the `hints`, such as its
        speaker or set.
        """
        name = name.strip().replace("\\", "/")
        if not name or "\0" in name:
            return None
        for base in (near, self.folder.root):
            exact = os.path.normpath(base / name)
            if exact in self.folder.present:
                return Path(exact)
        if os.path.isabs(name) and os.path.isfile(name):
            return Path(name)
        path, difference = self._similar(name, near, hints)
        if path is not None and difference:
            self.corrected.setdefault(difference, []).append(name)
        return path

    def problem(self, name: str) -> str | None:
        """Why a name that is ambiguous stands for no file; None for another one."""
        files = self.ambiguous.get(name.strip().replace("\\", "/"))
        if files is None:
            return None
        shown = " and ".join(map(self.folder.relative, files[:RIVALS]))
        return f"{len(files)} files fit, such as {shown}; state the path of the file"

    def _similar(self, name: str, near: Path, hints: Collection[str]) -> tuple[Path | None, str]:
        """A file of that name, and in what it differs from it."""
        base = name.rpartition("/")[2]
        stem, suffix = os.path.splitext(base)
        known = suffix.lower() in AUDIO_SUFFIXES
        candidates, difference = self._candidates(base, stem, suffix, known)
        if not candidates:
            return None, ""

        def rank(path: Path) -> tuple[int, int, bool, bool, tuple[int, str]]:
            return (
                -_same_end(path.parent.parts, name.split("/")[:-1]),
                -len(os.path.commonpath((near, path)).split(os.sep)),
                path.stem != stem,
                path.suffix.lower() != suffix.lower(),
                preference(path)[:2],
            )

        equal = candidates
        if len(candidates) > 1:
            best_rank = min(map(rank, candidates))
            equal = sorted(path for path in candidates if rank(path) == best_rank)
        if len(equal) > 1:
            hits = [
                len({*self.folder.relative(p).split("/")[:-1]}.intersection(hints)) for p in equal
            ]
            equal = [path for path, count in zip(equal, hits, strict=True) if count == max(hits)]
        if len(equal) > 1:
            self.ambiguous[name] = equal
            return None, ""
        best = equal[0]
        if difference or not known:  # an id
            return best, difference
        if best.suffix.lower() != suffix.lower():
            return best, "suffix"
        if best.name != base:
            return best, "case or Unicode form"
        return best, "" if _ends_with(best, name) else "folder"

    def _candidates(self, base: str, stem: str, suffix: str, known: bool) -> tuple[list[Path], str]:
        """The files that a name without folders may stand for, and in what they differ from it."""
        by_key, by_number = self.folder.by_key, self.folder.by_number
        found = by_key.get(_key(stem if known else base), [])
        if not found and suffix[1:].isalnum() and not known:
            found = by_key.get(_key(stem), [])
        if not found and stem.isdecimal() and (known or suffix in ("", ".0")):
            return by_number.get(int(stem), []), "number of leading zeros"
        if not found and (match := UPLOADED.match(base)):
            return by_key.get(_key(stem[match.end() :]), []), "beginning"
        if not found and "%" in base:
            found = by_key.get(_key(unquote(stem if known else base)), [])
        return found, ""

    def notes(self) -> Iterable[str]:
        for difference, names in self.corrected.items():
            yield (
                f"audio: {len(names):,} listed names have another {difference} than the file: "
                f"{examples(names)}"
            )
        if self.ambiguous:
            name, files = next(iter(self.ambiguous.items()))
            yield (
                f"audio: {len(self.ambiguous):,} listed names fit several files, and are not used: "
                f"{name}: {examples([self.folder.relative(file) for file in files])}; list the "
                "paths of the files"
            )


def _same_end(a: tuple[str, ...], b: list[str]) -> int:
    """The number of equal parts from the end."""
    count = 0
    for one, other in zip(reversed(a), reversed(b), strict=False):
        if one != other:
            break
        count += 1
    return count


def _ends_with(path: Path, name: str) -> bool:
    return path.as_posix().endswith("/" + name.removeprefix("./").lstrip("/"))
