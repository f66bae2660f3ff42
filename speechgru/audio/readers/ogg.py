"""The pages of an Ogg file (RFC 3533): its links, and damage that the decoders do not report.

A chained Ogg is several Ogg streams one after the other, each of which begins with pages flagged as
first pages: joined voice messages, recordings of internet radio. Decoders read the first link only.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from speechgru.audio.readers.interface import MAX_LOST, File, size_of

HEADER = struct.Struct("<4sBBqIIIB")  # …, flags, position, stream, number, checksum, segments
FIRST = 0x02  # flag of the first page of a stream
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
ONES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class OggPages:
    """Byte ranges of the links, bytes that are missing or in no intact page, and whether the last
    page is cut."""

    links: list[range]
    damaged: int
    cut: bool


def read_pages(file: File) -> OggPages | None:
    """None if the file is not Ogg. Reads all of it, up to damage of more than MAX_LOST."""
    size = size_of(file)
    file.seek(0)
    if file.read(4) != b"OggS":
        return None
    stream: Any = io.BufferedReader(cast(io.RawIOBase, file), 1 << 17)
    try:
        return _walk(stream, size)
    finally:
        stream.detach()


class _Page(NamedTuple):
    length: int = 0  # bytes; 0: there is no page
    intact: bool = False
    first: bool = False
    stream: int = 0
    number: int = 0  # within the stream


def _walk(stream: Any, size: int) -> OggPages:
    starts: list[int] = []
    numbers: dict[int, int] = {}  # of the last page of each stream
    damaged = position = 0
    first_before = cut = False
    after_damage = False  # then missing numbers are those of the damaged pages
    while position < size and damaged <= MAX_LOST * size + 65536:
        page = _page(stream, position)
        end = position + page.length
        if page.intact:
            if page.first and not first_before:
                starts.append(position)
                numbers.clear()
            missing = page.number - numbers.get(page.stream, page.number) - 1
            if missing > 0 and not after_damage:
                damaged += missing * page.length
            numbers[page.stream], first_before = page.number, page.first
        elif page.length and (end == size or _page(stream, end).length):
            damaged += page.length
        else:  # not a page, or one of a wrong length
            end = _next_page(stream, position + 1, size)
            cut = page.length > 0 and end == size
            damaged += end - position
        after_damage = not page.intact
        position = end
    starts = [0, *starts[1:]]
    ends = [*starts[1:], size]
    return OggPages([range(*pair) for pair in zip(starts, ends, strict=True)], damaged, cut)


def _page(stream: Any, position: int) -> _Page:
    stream.seek(position)
    header = stream.read(HEADER.size)
    if header[:4] != b"OggS":
        return _Page()
    if len(header) < HEADER.size:
        return _Page(HEADER.size)
    _, _, flags, _, serial, number, checksum, count = HEADER.unpack(header)
    segments = stream.read(count)
    content = segments + stream.read(sum(segments))
    length = HEADER.size + count + sum(segments)
    found = page_checksum(header[:22] + bytes(4) + header[26:] + content)
    intact = found == checksum and len(content) == length - HEADER.size
    return _Page(length, intact, bool(flags & FIRST), serial, number)


def page_checksum(page: bytes) -> int:
    """Of a page whose own checksum is 0: a CRC-32 with zlib's polynomial, but highest bit first,
    and starting with 0."""
    mirrored = zlib.crc32(page.translate(REVERSED), ONES) ^ ONES
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(REVERSED), "big")


def _next_page(stream: Any, position: int, size: int) -> int:
    """Where the next page begins, at `position` or later; `size` if nowhere."""
    stream.seek(position)
    window = b""
    while block := stream.read(1 << 16):
        window = window[-3:] + block
        if (found := window.find(b"OggS")) >= 0:
            return position + int(found)
        position += len(window) - 3
        window = window[-3:]
    return size
