"""What the readers of corpora share: their result, durations, finding files, and errors."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from speechgru.audio import AUDIO_SUFFIXES, AudioInfo, read_headers
from speechgru.errors import CorpusError
from speechgru.files import files_below
from speechgru.manifest import Utterance

LOSSLESS_FIRST = (".flac", ".wav", ".sph")  # the order of preference among files of one name


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus in splits, some of them perhaps empty, and one line per excluded utterance.

    `read_from` lists the manifests that the corpus was read from, if any.
    """

    splits: dict[str, list[Utterance]]
    problems: list[str]
    read_from: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance as a corpus lists it. `audio` is None if its file was not found."""

    id: str
    audio: Path | None
    text: str
    speaker: str


def prepared(source: Path, recordings: dict[str, list[Recording]]) -> Prepared:
    """Recordings by split → utterances with durations; unreadable ones become problems.

    Raises CorpusError when no utterance is usable.
    """
    splits: dict[str, list[Utterance]] = {}
    problems: dict[str, None] = {}  # as an ordered set: a recording may be in several splits
    for split, listed in recordings.items():
        found = [recording.audio for recording in listed if recording.audio is not None]
        infos = dict(zip(found, read_headers(found), strict=True))
        splits[split] = []
        for recording in listed:
            info = infos[recording.audio] if recording.audio else None
            if isinstance(info, AudioInfo):
                splits[split].append(
                    Utterance(
                        audio=str(recording.audio),
                        duration=round(info.duration, 6),
                        text=recording.text,
                        id=recording.id,
                        speaker=recording.speaker,
                    )
                )
            else:
                problems[f"{recording.id}: {info or f'no audio of this name in {source}'}"] = None
    result = Prepared(splits, list(problems))
    refuse_empty(source, result)
    return result


def refuse_empty(source: Path, result: Prepared) -> None:
    """Raises CorpusError when no split has an utterance."""
    if not any(result.splits.values()):
        reason = f"; the first problem: {result.problems[0]}" if result.problems else ""
        raise CorpusError(f"{source}: no usable utterance{reason}")


def audio_below(folder: Path) -> dict[str, list[Path]]:
    """Audio files in a folder and its subfolders, by name without suffix.

    The files of one name are sorted: lossless formats first, then by path.
    """
    found: dict[str, list[Path]] = {}
    for path in files_of(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    for paths in found.values():
        paths.sort(key=_preference)
    return found


def _preference(path: Path) -> tuple[int, str, Path]:
    suffix = path.suffix.lower()
    known = suffix in LOSSLESS_FIRST
    return LOSSLESS_FIRST.index(suffix) if known else len(LOSSLESS_FIRST), suffix, path


def files_of(folder: Path) -> Iterator[Path]:
    """Every file below a corpus's folder. Raises CorpusError for a folder that cannot be listed."""

    def refuse(error: OSError) -> NoReturn:
        raise CorpusError(f"{error.filename}: cannot be searched: {error.strerror}") from None

    return files_below(folder, refuse)


def need_source(source: Path | None, name: str, expected: str, origin: str) -> Path:
    """The absolute folder of a corpus. Raises CorpusError when it is not given or not a folder."""
    if source is None:
        raise CorpusError(
            f"{name}: no folder given; use --source DIR with {expected}. "
            f"The corpus is available from {origin}"
        )
    if not os.path.isdir(source):
        found = "a file" if os.path.exists(source) else "nothing"
        raise CorpusError(f"{source}: expected {expected}, found {found} there")
    return Path(os.path.abspath(source))


def not_the_corpus(source: Path, name: str, looked_for: str) -> NoReturn:
    names = sorted(path.name for path in source.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    raise CorpusError(
        f"{source}: not the {name} corpus: it has no {looked_for}, only "
        f"{', '.join(names[:5]) or 'nothing'}{more}; check --source"
    )


def read_lines(file: Path) -> list[str]:
    """The lines of a corpus's text file that are not blank. Raises CorpusError."""
    try:
        return [line for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CorpusError(f"{file}: cannot be read: {reason}") from None
