"""The chunks of a RIFF file: which of its bytes are audio, in which codec.

Recorders and editors write several data chunks, sizes of 0 or 0xFFFFFFFF (the length was not known)
and sizes that are too small (the recorder crashed, or the file passed 4 GB).
"""

import struct
from dataclasses import dataclass

from speechgru.audio.readers.interface import File, size_of

STREAMED = 0x7F000000  # data sizes from here on are what recorders write before they know
PLAIN_CHUNKS = {b"fmt ", b"fact", b"PEAK", b"data", b"ds64"}
UNKNOWN_SIZE = 0xFFFFFFFF
MAX_CHUNKS = 10_000
BY_LIBSNDFILE = {1, 2, 3, 6, 7, 0x11, 0xFFFE}  # PCM, ADPCM (MS, IMA), float, A-law, mu-law
CODECS = {0x31: "GSM 6.10", 0x50: "MPEG layer II", 0x55: "MP3", 0x161: "WMA", 0x2000: "AC-3"}


@dataclass(slots=True)
class Riff:
    """Byte ranges of the data chunks as far as the file goes; what their headers claim.

    `next_file` is where another RIFF file begins (two files joined), `unknown` the number of bytes
    from `end` on that are no chunks. `plain` files have no chunks but those of the format and the
    audio, with usual sizes; libsndfile hangs on some others, and refuses some that are valid.
    """

    form: bytes  # b"WAVE", b"AVI ", …
    format_chunk: bytes
    data: list[range]
    claimed: int
    end: int
    size: int
    next_file: int | None = None
    plain: bool = True

    @property
    def codec(self) -> int:
        """The tag of the codec; 0 if there is none."""
        return int.from_bytes(self.format_chunk[:2], "little")

    @property
    def unknown(self) -> int:
        return self.size - self.end

    @property
    def bytes_per_second(self) -> int:
        return int.from_bytes(self.format_chunk[8:12], "little")

    @property
    def promised_ratio(self) -> float:
        """The claimed length over the length found, 1 where no more is claimed or it is unknown."""
        found = sum(map(len, self.data))
        return self.claimed / found if 0 < found < self.claimed < STREAMED else 1.0


def read_riff(file: File) -> Riff | None:
    """None if the file is not RIFF, RF64 or BW64."""
    size = size_of(file)
    file.seek(0)
    head = file.read(12) or b""
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or len(head) < 12:
        return None
    riff = Riff(head[8:12], b"", [], 0, 12, size)
    if riff.form == b"WAVE":
        _read_chunks(file, riff)
    else:
        claim = int.from_bytes(head[4:8], "little") + 8
        riff.data, riff.claimed, riff.end = [range(12, size)], claim - 12, size
    return riff


def _read_chunks(file: File, riff: Riff) -> None:
    wide = 0  # the size of the data chunk in an RF64
    for _ in range(MAX_CHUNKS):
        found = _chunk(file, riff.end, riff.size)
        if found is None:
            return
        name, start, length = found
        if name == b"RIFF" and riff.data:
            riff.next_file, riff.end = start - 8, riff.size
            return
        riff.plain &= name in PLAIN_CHUNKS
        if name == b"ds64":
            file.seek(start + 8)
            wide = int.from_bytes(file.read(8) or b"", "little")
        if name == b"fmt " and not riff.format_chunk:
            file.seek(start)
            riff.format_chunk = file.read(min(length, 4096)) or b""
        if name == b"data":
            if length == UNKNOWN_SIZE and wide:
                length = wide
            elif length == UNKNOWN_SIZE:
                riff.plain = False
            if length == 0 and not _chunks_to_the_end(file, start, riff.size):
                length = UNKNOWN_SIZE
            riff.claimed += length
            riff.data.append(range(start, min(start + length, riff.size)))
        riff.end = min(start + length, riff.size)
        if length % 2 and _chunk(file, riff.end, riff.size) is None:
            riff.end = min(riff.end + 1, riff.size)
        elif length % 2:
            riff.plain = False  # without the byte that makes its length even


def _chunk(file: File, position: int, size: int) -> tuple[bytes, int, int] | None:
    """Name, start and size of the chunk at `position`; None if there is none."""
    if position + 8 > size:
        return None
    file.seek(position)
    name, length = struct.unpack("<4sI", file.read(8))
    if not all(32 <= byte < 127 for byte in name):
        return None
    if name not in (b"data", b"RIFF") and position + 8 + length > size + 1:
        return None
    return name, position + 8, length


def _chunks_to_the_end(file: File, position: int, size: int) -> bool:
    """Whether nothing but chunks follows."""
    for _ in range(MAX_CHUNKS):
        if size - position < 8:
            return True
        found = _chunk(file, position, size)
        if found is None:
            return False
        position = found[1] + found[2] + found[2] % 2
    return False


def joined_header(riff: Riff) -> bytes:
    """A WAV header for the data chunks one after the other. The data's size is that of a stream
    where 32 bits are too few."""
    length = min(sum(map(len, riff.data)), UNKNOWN_SIZE)
    form = riff.format_chunk + bytes(len(riff.format_chunk) % 2)
    fmt = struct.pack("<4sI", b"fmt ", len(riff.format_chunk)) + form
    data = struct.pack("<4sI", b"data", length)
    return (
        struct.pack("<4sI4s", b"RIFF", min(20 + len(form) + length, UNKNOWN_SIZE), b"WAVE")
        + fmt
        + data
    )
