"""What every reader of a corpus needs: its result, lengths from read_headers, audio found by id."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from speechgru.audio import AUDIO_SUFFIXES, AudioInfo, read_headers
from speechgru.errors import CorpusError, printable
from speechgru.files import files_below
from speechgru.manifest import Utterance

LOSSLESS_FIRST = (".flac", ".wav", ".sph")  # where one id has several files


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus in splits ("train", "dev", "test" at least), and what had to be left out: one line
    an utterance. `read_from`: the manifests it was read from, if any."""

    splits: dict[str, list[Utterance]]
    problems: list[str]
    read_from: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """What a corpus says of an utterance before its audio is opened. `audio` None: not found."""

    id: str
    audio: Path | None
    text: str
    speaker: str


def prepared(source: Path, recordings: dict[str, list[Recording]]) -> Prepared:
    """Recordings with their lengths; those without readable audio become problems.

    Raises CorpusError when a split has none left.
    """
    splits, problems = {}, []
    for split, listed in recordings.items():
        found = [recording.audio for recording in listed if recording.audio is not None]
        infos = dict(zip(found, read_headers(found), strict=True))
        kept = splits[split] = list[Utterance]()
        for recording in listed:
            info = infos[recording.audio] if recording.audio else None
            if recording.audio and isinstance(info, AudioInfo):
                kept.append(_utterance(recording, recording.audio, info))
            else:
                fault = info or f"no audio of this name in {source}"
                problems.append(f"{recording.id}: {fault}")
        if not kept:
            first = f"; first fault: {problems[-len(listed)]}" if listed else ""
            raise CorpusError(f"{source}: no usable utterance for {split}{first}")
    return Prepared(splits, list(dict.fromkeys(problems)))


def audio_below(folder: Path) -> dict[str, list[Path]]:
    """Sound files in a folder and those below it, by name without suffix; the best file of a name
    first: lossless before lossy, then by path."""
    found: dict[str, list[Path]] = {}
    for path in files_of(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    for paths in found.values():
        paths.sort(key=lambda path: (*_rank(path), path))
    return found


def files_of(folder: Path) -> Iterator[Path]:
    """Every file in a corpus's folder. Raises CorpusError where one cannot be searched."""
    return files_below(folder, _refuse)


def _refuse(fault: OSError) -> NoReturn:
    raise CorpusError(f"{fault.filename}: cannot be searched: {fault.strerror}") from None


def need_source(source: Path | None, name: str, expected: str, origin: str) -> Path:
    """The absolute folder of a corpus. Raises CorpusError when none is given, or none is there."""
    if source is None:
        raise CorpusError(
            f"{name}: where is it? Give --source DIR, {expected}; the corpus comes from {origin}"
        )
    if not os.path.isdir(source):
        found = "a file" if os.path.exists(source) else "nothing"
        raise CorpusError(f"{source}: expected {expected}, found {found} there")
    return Path(os.path.abspath(source))


def not_the_corpus(source: Path, name: str, looked_for: str) -> NoReturn:
    raise CorpusError(
        f"{source}: not {name}: no {looked_for} in it; check --source "
        f"(it holds {_contents(source)})"
    )


def refuse_holdout(name: str, holdout: str | None) -> None:
    if holdout is not None:
        raise CorpusError(
            f"{name}: --holdout {holdout} is for fsdd; the splits of {name} share no speaker"
        )


def read_lines(file: Path) -> list[str]:
    """The lines of a corpus's text file that are not blank. Raises CorpusError."""
    try:
        return [line for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "not UTF-8"
        raise CorpusError(f"{file}: cannot be read: {reason}") from None


def spaced(items: Sequence[str], count: int) -> list[str]:
    """`count` items, evenly spread over the sequence."""
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def _utterance(recording: Recording, audio: Path, info: AudioInfo) -> Utterance:
    return Utterance(
        audio=audio,
        duration=round(info.duration, 6),
        text=recording.text,
        id=recording.id,
        speaker=recording.speaker,
    )


def _rank(path: Path) -> tuple[int, str]:
    suffix = path.suffix.lower()
    known = suffix in LOSSLESS_FIRST
    return (LOSSLESS_FIRST.index(suffix) if known else len(LOSSLESS_FIRST), suffix)


def _contents(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(map(printable, names[:5])) or "nothing") + more
