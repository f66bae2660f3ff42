"""Writing manifests; manifest.py has their format."""

import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePath

from speechgru.errors import ManifestError
from speechgru.files import atomic_write
from speechgru.manifest import Utterance


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest atomically, with audio paths relative to the manifest's folder.

    Raises ManifestError: no utterances, or a file that cannot be written.
    """
    folder = Path(os.path.realpath(path)).parent
    text = "".join(_to_line(utterance, folder) for utterance in utterances)
    if not text:
        raise ManifestError(f"{path}: nothing to write; a manifest needs at least one utterance")
    atomic_write(path, text, ManifestError)


def relative_path(audio: str, folder: Path) -> str:
    """How a manifest in the real path `folder` refers to an audio file."""
    try:
        return PurePath(os.path.relpath(audio, folder)).as_posix()
    except ValueError:  # on another drive
        return PurePath(audio).as_posix()


def _to_line(utterance: Utterance, folder: Path) -> str:
    values: dict[str, object] = {
        "audio_filepath": relative_path(utterance.audio, folder),
        "duration": utterance.duration,
        "text": utterance.text,
    }
    if utterance.id:
        values["id"] = utterance.id
    if utterance.offset:
        values["offset"] = utterance.offset
    if utterance.speaker is not None:
        values["speaker"] = utterance.speaker
    if utterance.lang is not None:
        values["lang"] = utterance.lang
    return to_json_line(values)


def to_json_line(values: dict[str, object]) -> str:
    """A manifest line, with its newline. Bytes of a file name that are no UTF-8 stay half surrogate
    pairs, which `atomic_write` escapes as JSON does."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"
