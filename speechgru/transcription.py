"""From audio files and folders to output files or lines; an error never stops the other files."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.errors import AudioError, SpeechgruError, printable
from speechgru.files import atomic_write, files_below
from speechgru.formats import find_format
from speechgru.recognizer import Recognizer


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A file to transcribe, or a folder without audio files and the reason."""

    source: Path
    relative: Path  # to the folder that was searched; the bare name of a file given by itself
    error: SpeechgruError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The output for one source, with the file it was written to, if any; or the error."""

    source: Path
    output: str = ""
    written: Path | None = None
    error: SpeechgruError | None = None


def find_audio(sources: Sequence[Path]) -> list[AudioFile]:
    """Files as given, and every audio file in the folders given, sorted; each once.

    Links to folders are followed. A folder without audio files, or one that cannot be searched, is
    listed with the error; a missing file fails when it is read.
    """
    found: dict[Path, AudioFile] = {}
    for source in sources:
        folder = os.path.isdir(source)
        for file in _search(source) if folder else [AudioFile(source, Path(source.name))]:
            found.setdefault(file.source, file)
    return list(found.values())


def _search(folder: Path) -> list[AudioFile]:
    errors: list[OSError] = []
    files = sorted(
        file for file in files_below(folder, errors.append) if file.suffix.lower() in AUDIO_SUFFIXES
    )
    found = [AudioFile(file, file.relative_to(folder)) for file in files]
    for error in errors:
        reason = f"{error.filename}: cannot be searched: {error.strerror}"
        found.append(AudioFile(Path(error.filename), Path(), AudioError(reason)))
    if not found:
        suffixes = " ".join(sorted(AUDIO_SUFFIXES))
        reason = f"{folder}: no audio files in this folder (searched for {suffixes})"
        found.append(AudioFile(folder, Path(), AudioError(reason)))
    return found


def transcribe_files(
    recognizer: Recognizer,
    files: Sequence[AudioFile],
    output_format: str,
    folder: Path | None,
    force: bool = False,
) -> Iterator[Outcome]:
    """Yield one outcome per file, in order. With `folder`, each output is also written there; an
    existing file is an error unless `force` is set."""
    render = find_format(output_format).render
    targets: dict[Path, Path] = {}
    if folder is not None:
        names = _output_names(files, output_format)
        targets = {source: folder / name for source, name in names.items()}
    errors = {file.source: file.error for file in files if file.error}
    if not force:
        for source, target in targets.items():
            if source not in errors and os.path.exists(target):
                errors[source] = SpeechgruError(
                    f"{target}: file exists; use --force to overwrite it or choose another --out"
                )
    results = recognizer.transcribe_all([f.source for f in files if f.source not in errors])
    for file in files:
        result = errors.get(file.source) or next(results)
        if isinstance(result, SpeechgruError):
            yield Outcome(file.source, error=result)
            continue
        output, written = render(file.source, result), targets.get(file.source)
        try:
            if written is not None:
                atomic_write(written, output + "\n")
        except SpeechgruError as error:
            yield Outcome(file.source, error=error)
        else:
            yield Outcome(file.source, output, written)


def _output_names(files: Sequence[AudioFile], suffix: str) -> dict[Path, str]:
    """Source → name of its output: anna/1.wav → anna/1.txt; where two would be equal, with the
    whole name, 1.wav.txt, and then a number."""
    taken: set[str] = set()
    names: dict[Path, str] = {}
    stems = [printable(str(file.relative).removesuffix(file.relative.suffix)) for file in files]
    uses = Counter(stems)
    for file, stem in zip(files, stems, strict=True):
        whole = printable(file.relative)
        name = f"{stem}.{suffix}" if uses[stem] == 1 else f"{whole}.{suffix}"
        number = 1
        while name in taken:
            number += 1
            name = f"{whole}.{number}.{suffix}"
        taken.add(name)
        names[file.source] = name
    return names
