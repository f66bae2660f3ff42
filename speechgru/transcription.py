"""From audio files and folders to output files or lines; an error never stops the other files."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.audio import AUDIO_SUFFIXES
from speechgru.decoding import Transcript
from speechgru.errors import AudioError, SpeechgruError, printable
from speechgru.files import atomic_write, check_folder, files_below
from speechgru.formats import FORMATS, Format, Result, join_outputs
from speechgru.recognizer import Recognizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A file to transcribe, or a folder without audio files and the reason."""

    source: Path
    relative: Path  # to the folder that was searched; the bare name of a file given by itself
    error: SpeechgruError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source: its transcript, the output if it is to be printed, and the files
    that were written; or the error. The last outcome may be of a file for all recordings."""

    source: Path
    transcript: Transcript | None = None
    output: str = ""
    written: tuple[Path, ...] = ()
    error: SpeechgruError | None = None
    skipped: bool = False  # because all of its outputs exist


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
    below = sorted(files_below(folder, errors.append))
    files = [file for file in below if file.suffix.lower() in AUDIO_SUFFIXES]
    found = [AudioFile(file, file.relative_to(folder)) for file in files]
    for error in errors:
        reason = f"{error.filename}: cannot be searched: {error.strerror}"
        found.append(AudioFile(Path(error.filename), Path(), AudioError(reason)))
    if not found:
        searched = " ".join(sorted(AUDIO_SUFFIXES))
        reason = f"{folder}: no audio files in this folder (searched for {searched})"
        found.append(AudioFile(folder, Path(), AudioError(reason)))
    suffixes = Counter(file.suffix.lower() for file in below)
    others = {suffix: n for suffix, n in suffixes.most_common() if suffix not in AUDIO_SUFFIXES}
    if files and others:
        kinds = ", ".join(f"{suffix or 'no suffix'} ×{n}" for suffix, n in others.items())
        log.info("%s", printable(f"{folder}: files skipped by their suffix: {kinds}"))
    return found


class Outputs:
    """Where the outputs of files are written: one per file and format, or per format.

    Args:
        formats: by name, of `speechgru.formats`.
        folder: None to write nothing.
        force: whether to overwrite existing files.
        skip_existing: skip a file all of whose outputs exist.
        inputs: files that no output may replace, not even with `force`.

    Raises SpeechgruError for options that exclude each other, for a folder that cannot be written,
    for an output that is an input, and for an existing file that would be overwritten by the
    outputs of several recordings.
    """

    def __init__(
        self,
        files: Sequence[AudioFile],
        formats: dict[str, Format],
        folder: Path | None,
        force: bool = False,
        skip_existing: bool = False,
        inputs: Iterable[str | Path | None] = (),
    ) -> None:
        self.ids = _names(files)
        self.formats, self.folder = formats, folder
        self.force, self.skip_existing = force, skip_existing
        self._rendered: dict[str, list[tuple[str, str]]] = {
            name: [] for name, each in formats.items() if each.one_file and folder is not None
        }
        if folder is None:
            _check_printable(formats, len(files))
        else:
            _check_not_a_file_name(folder)
            check_folder(folder)
        if skip_existing and (force or self._rendered):
            other = "--force" if force else f"{next(iter(self._rendered))}, one file for all"
            raise SpeechgruError(f"--skip-existing is not possible with {other}")
        for name in self._rendered:
            if not force and os.path.exists(target := self._common(name)):
                raise SpeechgruError(
                    f"{target}: file exists; use --force to overwrite it, or another --out"
                )
        self._check_inputs(inputs)

    def find_existing(self, source: Path) -> Outcome | None:
        """The outcome of a file with outputs that must not be lost: skipped, or an error."""
        targets = self._targets(source)
        existing = [target for target in targets.values() if os.path.exists(target)]
        if self.skip_existing and targets and len(existing) == len(targets):
            return Outcome(source, skipped=True)
        if existing and not self.force and not self.skip_existing:
            return Outcome(
                source,
                error=SpeechgruError(
                    f"{existing[0]}: file exists; use --force to overwrite it, or another --out; "
                    "transcribe --skip-existing continues an earlier run"
                ),
            )
        return None

    def write(self, source: Path, transcript: Transcript) -> Outcome:
        """The outputs of one file. Raises SpeechgruError when one cannot be written."""
        result = Result(source, self.ids[source], transcript)
        outputs = {name: each.render(result) for name, each in self.formats.items()}
        if self.folder is None:
            return Outcome(source, transcript, next(iter(outputs.values())))
        for name, rendered in self._rendered.items():
            rendered.append((result.id, outputs[name]))
        targets = self._targets(source)
        for name, target in targets.items():
            atomic_write(target, outputs[name] + "\n")
        return Outcome(source, transcript, written=tuple(targets.values()))

    def finish(self, stem: str = "transcripts") -> Iterator[Outcome]:
        """Write the files that are one for all recordings."""
        while self._rendered:
            name = next(iter(self._rendered))
            rendered = self._rendered.pop(name)
            target = self._common(name, stem)
            try:
                atomic_write(target, join_outputs(rendered))
                yield Outcome(target, written=(target,))
            except SpeechgruError as error:
                yield Outcome(target, error=error)

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Work that ends early, as by Ctrl-C, leaves what there is of the files for all, under
        another name: the same command can be repeated."""
        self._rendered = {name: some for name, some in self._rendered.items() if some and kind}
        for outcome in self.finish("transcripts.partial"):
            log.warning(
                "%s",
                outcome.error or f"{printable(outcome.source)}: what was transcribed until now",
            )

    def _targets(self, source: Path) -> dict[str, Path]:
        if self.folder is None:
            return {}
        return {
            name: self.folder / f"{self.ids[source]}.{each.suffix}"
            for name, each in self.formats.items()
            if not each.one_file
        }

    def _check_inputs(self, inputs: Iterable[str | Path | None]) -> None:
        """Raises SpeechgruError if one of them would be overwritten."""
        read = {os.path.realpath(path) for path in inputs if path is not None}
        targets = [self._common(name) for name in self._rendered]
        for source in self.ids:
            if self.find_existing(source) is None:
                targets += self._targets(source).values()
        for target in targets:
            if os.path.exists(target) and os.path.realpath(target) in read:
                raise SpeechgruError(f"{target}: an input of this command; use another --out")

    def _common(self, name: str, stem: str = "transcripts") -> Path:
        assert self.folder is not None
        return self.folder / f"{stem}.{self.formats[name].suffix}"


def transcribe_files(
    recognizer: Recognizer,
    files: Sequence[AudioFile],
    outputs: Outputs,
    on_progress: Callable[[float], None] = lambda seconds: None,
) -> Iterator[Outcome]:
    """As `write_outputs`, of what the recogniser finds. `on_progress` is called with the seconds
    that are done of the file that comes next."""

    def transcribe(wanted: Sequence[AudioFile]) -> Iterator[Transcript | SpeechgruError]:
        sources = [file.source for file in wanted]
        return recognizer.transcribe_all(
            sources, on_progress=lambda index, seconds: on_progress(seconds)
        )

    return write_outputs(files, outputs, transcribe)


def write_outputs(
    files: Sequence[AudioFile],
    outputs: Outputs,
    transcribe: Callable[[Sequence[AudioFile]], Iterator[Transcript | SpeechgruError]],
) -> Iterator[Outcome]:
    """Yield one outcome per file, in order, then one per file for all recordings. `transcribe` is
    called once, for the files without an error or earlier outputs; its results are in their order.
    """
    known: dict[Path, Outcome] = {}
    for file in files:
        found = outputs.find_existing(file.source)
        if file.error is not None:
            found = Outcome(file.source, error=file.error)
        if found is not None:
            known[file.source] = found
    results = transcribe([file for file in files if file.source not in known])
    for file in files:
        if file.source in known:
            yield known[file.source]
            continue
        result = next(results)
        try:
            if isinstance(result, SpeechgruError):
                raise result
            yield outputs.write(file.source, result)
        except SpeechgruError as error:
            yield Outcome(file.source, error=error)
    yield from outputs.finish()


def _check_not_a_file_name(folder: Path) -> None:
    """`-o a.srt` means a file; without this check, it would be the name of a folder."""
    suffixes = {f".{each.suffix}" for each in FORMATS.values()}
    if folder.suffix.lower() in suffixes and not os.path.isdir(folder):
        raise SpeechgruError(
            f"{folder}: --out is a folder, in which outputs are named after their recordings; give "
            f"one such as {folder.with_suffix('')}, or create a folder of this name"
        )


def _check_printable(formats: dict[str, Format], count: int) -> None:
    if len(formats) > 1:
        raise SpeechgruError(f"{len(formats)} output formats need a folder to write to: give --out")
    ((name, one),) = formats.items()
    if count > 1 and not one.names_source and name != "txt":
        raise SpeechgruError(f"{name} of {count} recordings cannot be printed together: give --out")


def _names(files: Sequence[AudioFile]) -> dict[Path, str]:
    """Source → name of its outputs, without suffix: anna/1.wav → anna/1. Where two would be equal,
    the whole name, 1.wav, or with folders above: day1/anna/1. So the name of a file does not depend
    on the order of the files, in which later runs may have others. A number where paths differ in
    nothing else, as 1.wav and ../1.wav."""
    candidates = [_candidates(file) for file in files]
    names = [next(each) for each in candidates]
    while True:
        uses = Counter(names)
        longer = {
            index: name
            for index, each in enumerate(candidates)
            if uses[names[index]] > 1 and (name := next(each, None)) is not None
        }
        if not longer:
            break
        for index, name in longer.items():
            names[index] = name
    taken: set[str] = set()
    for index, whole in enumerate(names):
        number = 1
        while names[index] in taken:
            number += 1
            names[index] = f"{whole}.{number}"
        taken.add(names[index])
    return {file.source: name for file, name in zip(files, names, strict=True)}


def _candidates(file: AudioFile) -> Iterator[str]:
    """Its name without its suffix and with it; then so with one, two, … folders above."""
    parts = file.source.parts[: len(file.source.parts) - len(file.relative.parts)]
    above = [part for part in parts if part not in ("..", file.source.anchor)]
    for first in range(len(above), -1, -1):
        path = Path(*above[first:], file.relative)
        yield printable(str(path).removesuffix(path.suffix))
        yield printable(path)
