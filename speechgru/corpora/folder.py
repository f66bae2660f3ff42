"""A folder of data, searched once: its files, and finding the audio that a list names."""

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.corpora.common import examples, files_of, preference
from speechgru.errors import CorpusError


class Folder:
    """The files of a folder and its subfolders, without hidden ones. `root` is absolute."""

    def __init__(self, root: Path) -> None:
        """Raises CorpusError: not a folder, or one that cannot be searched."""
        if not os.path.isdir(root):
            found = "a file" if os.path.exists(root) else "no such folder"
            raise CorpusError(f"{root}: {found}; expected a folder of recordings")
        self.root = Path(os.path.abspath(root))
        self.files = [
            path
            for path in files_of(self.root)
            if not any(part.startswith(".") for part in path.parts[len(self.root.parts) :])
        ]

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


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold().strip()


@dataclass
class AudioFinder:
    """Finds the audio that a list names, and counts the names that were not exactly right."""

    folder: Folder
    corrected: dict[str, list[str]] = field(default_factory=dict)  # what differs → names

    def find(self, name: str, near: Path) -> Path | None:
        """The file that `name` stands for in a list in the folder `near`; None if there is none.

        Looked for beside the list, below `root`, and as an absolute path; else a file of the same
        name elsewhere, with another suffix, in other case or Unicode form.
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
        path, difference = self._similar(name)
        if path is not None and difference:
            self.corrected.setdefault(difference, []).append(name)
        return path

    def _similar(self, name: str) -> tuple[Path | None, str]:
        """A file of that name, and in what it differs from it."""
        base = name.rpartition("/")[2]
        stem, suffix = os.path.splitext(base)
        known = suffix.lower() in AUDIO_SUFFIXES
        candidates = self.folder.by_key.get(_key(stem if known else base), [])
        if not candidates and suffix[1:].isalnum() and not known:
            candidates = self.folder.by_key.get(_key(stem), [])
        if not candidates:
            return None, ""

        def rank(path: Path) -> tuple[int, bool, tuple[int, str, Path]]:
            wrong = path.suffix.lower() != suffix.lower()
            return -_same_end(path.parent.parts, name.split("/")[:-1]), wrong, preference(path)

        best = min(candidates, key=rank)
        if not known:  # an id
            return best, ""
        if best.suffix.lower() != suffix.lower():
            return best, "suffix"
        if best.name != base:
            return best, "case or Unicode form"
        return best, "" if _ends_with(best, name) else "folder"

    def notes(self) -> Iterable[str]:
        for difference, names in self.corrected.items():
            yield (
                f"audio: {len(names):,} listed names have another {difference} than the file: "
                f"{examples(names)}"
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
