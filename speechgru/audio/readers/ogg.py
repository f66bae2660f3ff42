"""The pages of an Ogg file (RFC 3533): its links, and what the decoders do not report.

A chained Ogg is several Ogg streams one after the other, each of which begins with pages flagged as
first pages: joined voice messages, recordings of internet radio. Decoders read the first link only.

Recorders of calls write no Opus packets where none arrived: in pauses (discontinuous transmission),
while muted. The positions of the pages (RFC 7845, section 4) then advance by more than the packets
last.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from speechgru.audio.readers.interface import MAX_LOST, File, size_of

HEADER = struct.Struct("<4sBBqIIIB")  # …, flags, position, stream, number, checksum, segments
CONTINUED, FIRST = 0x01, 0x02  # flags: begins within a packet; the first page of a stream
OPUS_RATE = 48000  # Hz, of the positions in an Opus stream
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
ONES = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class OggPages:
    """Byte ranges of the links, bytes that are missing or in no intact page, whether the last
    page is cut, and the longest gap between the packets of an Opus stream in seconds."""

    links: list[range]
    damaged: int
    cut: bool
    gap: float


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
    end: int = -1  # position after the last packet that ends in it; -1: none does
    packets: tuple[bytes, ...] = ()  # the first bytes of each packet that begins in it


class _OpusClock:
    """By how much the positions of one stream's pages exceed the length of its packets."""

    def __init__(self) -> None:
        self.begin: int | None = None  # position after the first page with audio
        self.samples = self.excess = 0

    def gap(self, page: _Page) -> int:
        """The samples that are missing before or in the next page."""
        if self.begin is None:
            self.begin = page.end if page.end > 0 else None
            return 0
        self.samples += sum(map(_opus_samples, page.packets))
        before = self.excess
        if page.end >= 0:
            self.excess = page.end - self.begin - self.samples
        return self.excess - before


def _walk(stream: Any, size: int) -> OggPages:
    starts: list[int] = []
    numbers: dict[int, int] = {}  # of the last page of each stream
    clocks: dict[int, _OpusClock] = {}  # of the Opus streams
    gap = 0
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
            if page.packets[:1] == (b"OpusHead",):
                clocks[page.stream] = _OpusClock()
            elif page.stream in clocks:
                gap = max(gap, clocks[page.stream].gap(page))
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
    links = [range(*pair) for pair in zip(starts, ends, strict=True)]
    return OggPages(links, damaged, cut, gap / OPUS_RATE)


def _page(stream: Any, position: int) -> _Page:
    stream.seek(position)
    header = stream.read(HEADER.size)
    if header[:4] != b"OggS":
        return _Page()
    if len(header) < HEADER.size:
        return _Page(HEADER.size)
    _, _, flags, end, serial, number, checksum, count = HEADER.unpack(header)
    segments = stream.read(count)
    content = stream.read(sum(segments))
    length = HEADER.size + count + sum(segments)
    found = page_checksum(header[:22] + bytes(4) + header[26:] + segments + content)
    intact = found == checksum and HEADER.size + len(segments) + len(content) == length
    packets = tuple(_packets(segments, content, bool(flags & CONTINUED))) if intact else ()
    return _Page(length, intact, bool(flags & FIRST), serial, number, end, packets)


def _packets(segments: bytes, content: bytes, continued: bool) -> Iterator[bytes]:
    """The first 8 bytes of each packet that begins in a page. A packet ends with the first segment
    of less than 255 bytes."""
    position, begins = 0, not continued
    for length in segments:
        if begins:
            yield content[position : position + 8]
        position, begins = position + length, length < 255


def _opus_samples(packet: bytes) -> int:
    """The length of a packet at OPUS_RATE by its first two bytes (RFC 6716, section 3.1)."""
    if not packet:
        return 0
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration >= 16:  # CELT: 2.5 to 20 ms
        frame = 120 << (configuration & 3)
    elif configuration >= 12:  # hybrid: 10 or 20 ms
        frame = 480 << (configuration & 1)
    else:  # SILK: 10, 20, 40 or 60 ms
        frame = (480, 960, 1920, 2880)[configuration & 3]
    frames = (1, 2, 2, packet[1] & 63 if packet[1:] else 0)[code]
    return frame * frames


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
