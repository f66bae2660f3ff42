"""Utterances, and the manifests that list them: one JSON object per line, with NeMo's keys.

    {"audio_filepath": "audio/a.wav", "duration": 2.5, "text": "two seven", "speaker": "anna"}

Design choices:
- `audio_filepath` is relative to the manifest's own folder, so a folder of data can be moved. Where
  the manifest is a link, that is the folder of the link, or else that of its target.
- An utterance's id depends on its own line only, never on the other lines of the manifest.
- Every error names file and line. Whether the audio exists is checked in `audio`.
- Unknown keys are ignored: manifests of other toolkits have many.
- msgspec decodes and checks a line in one call: there may be millions. A line that it refuses is
  read again by Python's decoder, which finds out what is wrong, if anything is: file names may have
  bytes that are not UTF-8.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec

from speechgru.errors import ManifestError, printable, reason_of
from speechgru.files import no_text

MAX_LINE_BYTES = 1_000_000
MAX_DURATIONS = 100_000
SHORT_TEXT = 24  # characters: such texts recur, and are kept in memory once


class Utterance(msgspec.Struct, frozen=True, gc=False):
    """A piece of audio and its text. Times in seconds.

    `audio` is an absolute path, as a string. `id` is unique within a manifest. `lang` is a language
    code such as "de". There may be millions: a Struct is made in a tenth of a dataclass's time and
    costs the garbage collector nothing; `msgspec.structs.replace` changes a copy.
    """

    audio: str
    duration: float
    text: str
    id: str
    offset: float = 0.0
    speaker: str | None = None
    lang: str | None = None


def read_manifest(path: str | Path, text_required: bool = True) -> list[Utterance]:
    """The utterances of a manifest, in its order.

    A line's `id` key is the utterance's id. Without one, the id is the `audio_filepath` as written,
    without suffix, followed by "@OFFSET" where the offset is above 0. `text_required=False` allows
    lines without text, such as a noise manifest's. A path that begins with ~ is in the home folder.

    Raises ManifestError: missing or unreadable file, not JSON lines, a key missing or of the wrong
    type, two lines with the same id, no utterance at all, a line over 1 MB.
    """
    file = Path(path)
    utterances = []
    for _, utterance in scan_manifest(file, text_required):
        if isinstance(utterance, ManifestError):
            raise utterance
        utterances.append(utterance)
    if not utterances:
        raise ManifestError(f"{file}: no utterances in it; expected one JSON object per line")
    if len({utterance.id for utterance in utterances}) < len(utterances):
        _refuse_same_ids(file, text_required)
    return utterances


def scan_manifest(
    path: str | Path, text_required: bool = True
) -> Iterator[tuple[int, Utterance | ManifestError]]:
    """Each line's number, from 1, and its utterance, or what is wrong with the line; ids may occur
    more than once. Raises ManifestError for a file that cannot be read."""
    file = find_manifest(path)
    folders = [os.path.realpath(file.parent)]  # of the link, if the file is one; and of its target
    folders += {os.path.dirname(os.path.realpath(file))} - set(folders)
    durations: dict[float, float] = {}  # recur: each is kept in memory once
    for number, raw in numbered_lines(file):
        if len(durations) > MAX_DURATIONS:
            durations.clear()
        try:
            yield number, _utterance(raw, folders, text_required, durations)
        except ValueError as error:
            yield number, ManifestError(f"{file}:{number}: {error}")


def find_manifest(path: str | Path) -> Path:
    """The path of an existing file; ~ is replaced by the home folder. Raises ManifestError with the
    name of a file that is spelt similarly, if there is one."""
    file = os.path.expanduser(path)
    if "\0" in file:
        raise ManifestError(f"{file}: cannot be read as a manifest: a null character in its name")
    if os.path.exists(file):
        return Path(file)
    from speechgru.misspelt import similar_path  # rarely needed

    found, hint = similar_path(file)
    if found is None:
        raise ManifestError(
            f"{file}: no such file{hint}; expected a manifest of JSON lines, such as `speechgru "
            "init` writes"
        )
    return Path(found)


def distinct_files(utterances: Iterable[Utterance], limit: int) -> list[str] | None:
    """The audio files, in order; None if there are more than `limit`, found without listing them
    all: there may be millions."""
    files: dict[str, None] = {}
    for utterance in utterances:
        files[utterance.audio] = None
        if len(files) > limit:
            return None
    return list(files)


def numbered_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The number and content of each line that is not blank, up to MAX_LINE_BYTES + 1 bytes."""
    try:
        with file.open("rb") as stream:
            number = 0
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number, rest = number + 1, raw
                while len(rest) > MAX_LINE_BYTES and rest[-1:] != b"\n":
                    rest = stream.readline(MAX_LINE_BYTES + 1)
                if number == 1:
                    if (foreign := no_text(raw)) is not None:
                        raise ValueError(foreign)
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if raw.strip():
                    yield number, raw
    except (OSError, ValueError) as error:  # ValueError: no text, or a null character in the path
        raise ManifestError(
            f"{file}: cannot be read as a manifest: {reason_of(error)}; "
            "expected a file of JSON lines, such as `speechgru init` writes"
        ) from None


class _Line(msgspec.Struct, gc=False):
    """The keys of a line that are used, with their types and ranges."""

    audio_filepath: Annotated[str, msgspec.Meta(min_length=1)]
    duration: Annotated[float, msgspec.Meta(gt=0)]
    text: str | None = None
    id: str | int | None = None
    offset: Annotated[float, msgspec.Meta(ge=0)] | None = None
    speaker: str | int | None = None
    lang: str | int | None = None


_decode = msgspec.json.Decoder(_Line).decode


def _utterance(
    raw: bytes, folders: Sequence[str], text_required: bool, durations: dict[float, float]
) -> Utterance:
    """One line as an Utterance. Raises ValueError with the reason."""
    if len(raw) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES:,} bytes; expected one JSON object per line")
    try:
        line = _decode(raw)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, too
        line = _read_again(raw, text_required)
    if "\0" in line.audio_filepath or (line.text is None and text_required):
        line = _read_again(raw, text_required)
    if "://" in line.audio_filepath:
        url = f"{line.audio_filepath!r:.60}"
        raise ValueError(f"'audio_filepath' is a URL, {url}; download it and give its path")
    name, offset, id_ = line.audio_filepath, line.offset or 0.0, _name(line.id)
    if id_ is None:
        id_ = printable(os.path.splitext(name)[0])
        id_ += f"@{offset!r}".removesuffix(".0") if offset else ""
    elif not id_.strip():
        _read_again(raw, text_required)
    speaker, lang, text = _name(line.speaker) or None, _name(line.lang) or None, line.text or ""
    return Utterance(
        _audio_path(name, folders), durations.setdefault(line.duration, line.duration),
        sys.intern(text) if len(text) <= SHORT_TEXT else text, id_, offset,
        speaker and sys.intern(speaker), lang and sys.intern(lang),
    )  # fmt: skip


def _read_again(raw: bytes, text_required: bool) -> _Line:
    """A line that is wrong, or that only Python's decoder reads. Raises ValueError."""
    from speechgru.manifest_line import read_line  # rarely needed

    return _Line(**read_line(raw, text_required))


def _name(value: str | int | None) -> str | None:
    """A printable string, None where there is none; a whole number is taken as its digits."""
    if isinstance(value, str) and value.isprintable():
        return value
    return None if value is None else printable(str(value))


def _audio_path(name: str, folders: Sequence[str]) -> str:
    """Absolute; in the first of the folders in which the file exists."""
    plain = name[0] not in "/~." and "/." not in name and "//" not in name and name[-1] != "/"
    if plain and len(folders) == 1 and os.sep == "/":  # as most are
        return f"{folders[0]}/{name}"
    if name[0] == "~":
        name = os.path.expanduser(name)
    if len(folders) == 1:
        return os.path.normpath(os.path.join(folders[0], name))
    paths = [os.path.normpath(os.path.join(folder, name)) for folder in folders]
    return next(filter(os.path.exists, paths), paths[0])


def _refuse_same_ids(file: Path, text_required: bool) -> NoReturn:
    first: dict[str, int] = {}
    for number, utterance in scan_manifest(file, text_required):
        if isinstance(utterance, Utterance) and utterance.id in first:
            raise ManifestError(
                f"{file}:{number}: the id {utterance.id!r} is also that of line "
                f'{first[utterance.id]}; remove one of the two lines, or add an "id" to each'
            )
        if isinstance(utterance, Utterance):
            first[utterance.id] = number
    raise ManifestError(f'{file}: two lines have the same id; remove one, or add an "id" to each')
