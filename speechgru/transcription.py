"""From files and folders of sound to texts on disk or screen, one fault never stopping the rest."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.errors import AudioError, SpeechgruError
from speechgru.files import atomic_write, shown
from speechgru.recognizer import Recognizer, Transcript

FORMATS = ("txt", "json")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: its transcript or the fault, and where or how it is told."""

    source: Path
    transcript: Transcript | None
    fault: SpeechgruError | None
    written: Path | None  # the file that holds `output`, if one was asked for
    output: str


def check_format(name: str) -> None:
    if name not in FORMATS:
        raise SpeechgruError(f"output format {name!r}: expected one of {', '.join(FORMATS)}")


def find_sounds(sources: Sequence[Path]) -> list[Path]:
    """Files as given, and every sound file under the folders given, sorted; each once.

    Raises AudioError for a folder without sound, and one that cannot be searched. A path that is
    not there stays in the list: it is named when its turn comes.
    """
    files: list[Path] = []
    for source in sources:
        if not source.is_dir():
            files.append(source)
            continue
        found = sorted(
            Path(folder) / name
            for folder, _, names in os.walk(source, onerror=_refuse)
            for name in names
            if Path(name).suffix.lower() in AUDIO_SUFFIXES
        )
        if not found:
            raise AudioError(
                f"{shown(source)}: no sound file in this folder "
                f"(looked for {' '.join(sorted(AUDIO_SUFFIXES))})"
            )
        files += found
    return list(dict.fromkeys(files))


def _refuse(fault: OSError) -> NoReturn:
    raise AudioError(f"{shown(fault.filename)}: cannot be searched: {fault.strerror}") from None


def transcribe_files(
    recognizer: Recognizer, files: Sequence[Path], output_format: str, folder: Path | None
) -> Iterator[Outcome]:
    """One outcome a file, in order; with `folder`, each text is also written there."""
    names = _output_names(files, output_format) if folder else {}
    for file, result in zip(files, recognizer.transcribe_all(files), strict=True):
        if isinstance(result, SpeechgruError):
            yield Outcome(file, None, result, None, "")
            continue
        output = _render(file, result, output_format)
        written = folder / names[file] if folder else None
        if written:
            try:
                atomic_write(written, output + "\n")
            except OSError as fault:
                error = SpeechgruError(f"{shown(written)}: cannot be written: {fault.strerror}")
                yield Outcome(file, None, error, None, "")
                continue
        yield Outcome(file, result, None, written, output)


def _render(file: Path, transcript: Transcript, output_format: str) -> str:
    if output_format != "json":
        return transcript.text
    name = str(file)
    if not _is_text(name):  # JSON holds Unicode alone
        name = shown(file)
    values = {"file": name, **transcript.to_json()}
    line = json.dumps(values, ensure_ascii=False)
    # a name's control characters would act on whoever's terminal shows the line
    return line if line.isprintable() else json.dumps(values)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _output_names(files: Sequence[Path], suffix: str) -> dict[Path, str]:
    """a.wav → a.txt; where two would fall together, the whole name stays: a.wav.txt, then
    a number."""
    taken: set[str] = set()
    names: dict[Path, str] = {}
    stems = [shown(file.stem) for file in files]
    for file, stem in zip(files, stems, strict=True):
        name = f"{stem}.{suffix}" if stems.count(stem) == 1 else f"{shown(file.name)}.{suffix}"
        number = 1
        while name in taken:
            number += 1
            name = f"{shown(file.name)}.{number}.{suffix}"
        taken.add(name)
        names[file] = name
    return names
