"""From files and folders of sound to texts on disk or screen, one fault never stopping the rest."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.decoding import Transcript
from speechgru.errors import AudioError, SpeechgruError, printable
from speechgru.files import atomic_write, files_below
from speechgru.recognizer import Recognizer

FORMATS = ("txt", "json")


@dataclass(frozen=True, slots=True)
class Sound:
    """A file to transcribe, or a folder in which none could be found, and why."""

    source: Path
    place: Path  # below the folder that was searched; the name alone of a file given by itself
    fault: SpeechgruError | None = None


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


def find_sounds(sources: Sequence[Path]) -> list[Sound]:
    """Files as given, and every sound file under the folders given, sorted; each once.

    Links to folders are followed. A folder without sound, and one that cannot be searched, stands
    in the list with its fault; a path that is not there is named when its turn comes.
    """
    sounds: dict[Path, Sound] = {}
    for source in sources:
        folder = os.path.isdir(source)
        for sound in _sounds_below(source) if folder else [Sound(source, Path(source.name))]:
            sounds.setdefault(sound.source, sound)
    return list(sounds.values())


def _sounds_below(folder: Path) -> list[Sound]:
    faults: list[OSError] = []
    files = sorted(
        file for file in files_below(folder, faults.append) if file.suffix.lower() in AUDIO_SUFFIXES
    )
    sounds = [Sound(file, file.relative_to(folder)) for file in files]
    for fault in faults:
        reason = f"{printable(fault.filename)}: cannot be searched: {fault.strerror}"
        sounds.append(Sound(Path(fault.filename), Path(), AudioError(reason)))
    if not sounds:
        looked_for = " ".join(sorted(AUDIO_SUFFIXES))
        reason = f"{printable(folder)}: no sound file in this folder (looked for {looked_for})"
        sounds.append(Sound(folder, Path(), AudioError(reason)))
    return sounds


def transcribe_files(
    recognizer: Recognizer,
    sounds: Sequence[Sound],
    output_format: str,
    folder: Path | None,
    force: bool = False,
) -> Iterator[Outcome]:
    """One outcome a sound, in order; with `folder`, each text is also written there, but over
    nothing that was there before, unless by `force`."""
    names = _output_names(sounds, output_format)
    targets = {source: folder / name for source, name in names.items()} if folder else {}
    faults = {sound.source: sound.fault for sound in sounds if sound.fault}
    if not force:
        faults |= {
            source: _is_there(target)
            for source, target in targets.items()
            if source not in faults and os.path.exists(target)
        }
    results = recognizer.transcribe_all([s.source for s in sounds if s.source not in faults])
    for source in [sound.source for sound in sounds]:
        result = faults.get(source) or next(results)
        if isinstance(result, SpeechgruError):
            yield Outcome(source, None, result, None, "")
            continue
        output = _render(source, result, output_format)
        written = targets.get(source)
        if written:
            try:
                atomic_write(written, output + "\n")
            except SpeechgruError as error:
                yield Outcome(source, None, error, None, "")
                continue
        yield Outcome(source, result, None, written, output)


def _is_there(target: Path) -> SpeechgruError:
    return SpeechgruError(
        f"{printable(target)}: there is such a file already; --force writes over it, or take another "
        "--output-dir"
    )


def _render(file: Path, transcript: Transcript, output_format: str) -> str:
    if output_format != "json":
        return transcript.text
    name = str(file)
    if not _is_text(name):  # JSON holds Unicode alone
        name = printable(file)
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


def _output_names(sounds: Sequence[Sound], suffix: str) -> dict[Path, str]:
    """Source → where its text goes: anna/1.wav → anna/1.txt; where two would fall together, the
    whole name stays: 1.wav.txt, then a number."""
    taken: set[str] = set()
    names: dict[Path, str] = {}
    stems = [printable(str(sound.place).removesuffix(sound.place.suffix)) for sound in sounds]
    uses = Counter(stems)
    for sound, stem in zip(sounds, stems, strict=True):
        whole = printable(sound.place)
        name = f"{stem}.{suffix}" if uses[stem] == 1 else f"{whole}.{suffix}"
        number = 1
        while name in taken:
            number += 1
            name = f"{whole}.{number}.{suffix}"
        taken.add(name)
        names[sound.source] = name
    return names
