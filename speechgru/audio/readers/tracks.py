"""Which audio track of a container is read, and why none can be."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from av.stream import Disposition

from speechgru.audio.readers.containers import EXPECTED
from speechgru.audio.readers.interface import READ_ERRORS, File, Unreadable, size_of
from speechgru.audio.readers.reasons import explain
from speechgru.audio.readers.samples import to_block

QUIET = 1e-4  # peak of a silent track, full scale 1: -80 dB
ENCRYPTED_TAGS = {"drms", "drmi", "enca", "aavd"}  # codec tags of encrypted mp4 audio
SEARCHED = 1 << 24  # bytes at either end of a file in which signs of encryption are searched
MP4_PROTECTION = re.compile(rb"sinf.{4}frma|\0\0\0.aavd", re.DOTALL)
ASF_PROTECTION = (  # GUIDs of the content encryption objects
    bytes.fromhex("fbb31122 23bdd211 b4b700a0 c955fc6e"),
    bytes.fromhex("14e68a29 2226174c b935dae0 7ee9289c"),
)

Packets = Callable[[int], Iterator[tuple[Any, list[Any] | None]]]


def choose_track(container: Any, packets: Packets, file: File) -> tuple[int, list[str]]:
    """The index of a stream, and a note where there was a choice: the track flagged as default,
    else the first, but one that is not silent if there is any.

    Raises Unreadable: no audio track, or none that can be decoded.
    """
    tracks = list(container.streams.audio)
    if not len(container.streams):
        raise Unreadable(explain(file))
    if not tracks:
        raise Unreadable(f"no audio track in it, {_contents(container)}; {EXPECTED}")
    usable = [track for track in tracks if _has_decoder(track)]
    if not usable:
        raise Unreadable(
            protection(file) or "its audio codec is not supported; convert it to WAV or FLAC"
        )
    usable.sort(key=lambda track: not track.disposition & Disposition.default)
    if len(tracks) == 1:
        return usable[0].index, []
    chosen, reason = usable[0], "all are silent"
    for track in usable:
        if not _is_silent(packets(track.index)):
            chosen, reason = track, "the first that is not silent"
            if track is usable[0]:
                default = track.disposition & Disposition.default
                reason = "the default" if default else "the first"
            break
    name = chosen.metadata.get("title") or chosen.metadata.get("language") or ""
    number = tracks.index(chosen) + 1
    return chosen.index, [
        f"{len(tracks)} audio tracks; track {number} is read"
        f"{f' ({name:.40})' if name and name != 'und' else ''}: {reason}"
    ]


def _has_decoder(track: Any) -> bool:
    context = track.codec_context
    try:
        return context is not None and context.codec_tag not in ENCRYPTED_TAGS
    except UnicodeDecodeError:  # a damaged tag
        return True


def _is_silent(packets: Iterator[tuple[Any, list[Any] | None]]) -> bool:
    try:
        for _, frames in packets:
            for frame in frames or []:
                if np.ptp(to_block(frame)) > QUIET:
                    return False
    except READ_ERRORS:
        return True
    return True


def _contents(container: Any) -> str:
    kinds = {stream.type for stream in container.streams}
    video = list(container.streams.video)
    if video and all(s.disposition & Disposition.attached_pic for s in video):
        return "only a cover picture"
    return f"only {' and '.join(sorted(kinds))}"


def protection(file: File) -> str | None:
    """The reason why a file cannot be decoded, if that is encryption."""
    size = size_of(file)
    file.seek(0)
    searched = file.read(SEARCHED) or b""
    if searched[4:8] == b"ftyp":
        file.seek(max(SEARCHED, size - SEARCHED))
        searched += file.read(SEARCHED) or b""
    if MP4_PROTECTION.search(searched) or any(
        guid in searched[: 1 << 16] for guid in ASF_PROTECTION
    ):
        return "its audio is encrypted; remove the protection first"
    return None
