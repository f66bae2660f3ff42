"""Where in a file others follow, as after `cat a.m4a b.m4a`: the libraries read only the first."""

import io
import re
import struct
from collections.abc import Iterator

from speechgru.audio.readers.interface import File, size_of, tag_end

MAX_BOXES = 100_000  # of an mp4
FLAC_BEGIN = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # with its first block, of 34 bytes
READ_AHEAD = 1 << 16  # bytes that libFLAC may have read beyond the end, at most


def find_files(file: File) -> list[range]:
    """The byte ranges of the mp4 or AIFF files in a file, one after the other; the whole of any
    other file."""
    size = size_of(file)
    file.seek(0)
    head = file.read(12) or b""
    starts = [0]
    if head[4:8] == b"ftyp":
        starts += _mp4_starts(file, size)
    elif head[:4] == b"FORM":
        starts += _aiff_starts(file, size)
    return [range(*pair) for pair in zip(starts, [*starts[1:], size], strict=True)]


def _mp4_starts(file: File, size: int) -> Iterator[int]:
    """Each `ftyp` box that follows a complete file. Some streams repeat their header before each
    fragment; their fragments are numbered on, and FFmpeg reads them as one file."""
    complete, start, last = False, None, None  # last: the number of the last fragment
    for position, name, box in _boxes(file, size):
        if name == b"ftyp" and complete:
            start, complete = position, False
        complete |= name == b"moov"
        number = int.from_bytes(box[20:], "big") if name == b"moof" else None
        if start is not None and name in (b"moof", b"mdat"):
            if last is None or number is None or number <= last:
                yield start
                last = None
            start = None
        last = last if number is None else number
    if start is not None:
        yield start


def _boxes(file: File, size: int) -> Iterator[tuple[int, bytes, bytes]]:
    """The position, name and first 24 bytes of each box of an mp4."""
    position = 0
    for _ in range(MAX_BOXES):
        file.seek(position)
        box = file.read(24) or b""
        if len(box) < 8:
            return
        length, name = struct.unpack(">I4s", box[:8])
        if length == 1 and len(box) >= 16:
            length = int.from_bytes(box[8:16], "big")
        yield position, name, box
        if length < 8:  # to the end of the file, or damage
            return
        position += length
        if position >= size:
            return


def _aiff_starts(file: File, size: int) -> Iterator[int]:
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(12) or b""
        if head[:4] != b"FORM" or head[8:] not in (b"AIFF", b"AIFC"):
            return
        if position:
            yield position
        length = int.from_bytes(head[4:8], "big")
        position += 8 + length + length % 2


def flac_follows(file: File) -> bool:
    """Whether another FLAC file begins near the position up to which one has been decoded."""
    position = file.seek(0, io.SEEK_CUR)
    first = tag_end(file)
    file.seek(max(first + 1, position - READ_AHEAD))
    found = FLAC_BEGIN.search(file.read(2 * READ_AHEAD) or b"")
    file.seek(position)
    return found is not None
