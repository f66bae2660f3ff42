"""Audio from a pipe, as it arrives: WAV, or samples without a header."""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from speechgru.errors import AudioError

ENCODINGS: dict[str, np.dtype[Any]] = {
    "s16": np.dtype("<i2"),
    "s32": np.dtype("<i4"),
    "f32": np.dtype("<f4"),
}
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # formats of WAV
WAV_ENCODINGS = {(PCM, 16): "s16", (PCM, 32): "s32", (FLOAT, 32): "f32"}
STREAMED = 0x7F000000  # data sizes from here on, and 0, are written before the length is known
MAX_HEADER = 1 << 20  # bytes before the samples
READ = 1 << 12  # bytes at once
Samples = npt.NDArray[np.float32]


def read_wav_pipe(file: BinaryIO, name: str) -> tuple[int, Iterator[Samples]]:
    """The rate in Hz, and the samples (n,) of a WAV file that cannot be searched, in pieces.

    Raises AudioError, which begins with `name`: no WAV file, or samples of another type.
    """
    kind, size = _read_exactly(file, 12, name)[:4], 0
    if kind != b"RIFF":
        raise AudioError(
            f"{name}: begins with {kind!r}: expected WAV; give --rate for samples without a header"
        )
    form = b""
    for _ in range(64):  # chunks
        chunk, size = struct.unpack("<4sI", _read_exactly(file, 8, name))
        if chunk == b"data":
            break
        if size > MAX_HEADER:
            break
        content = _read_exactly(file, size + size % 2, name)
        form = content if chunk == b"fmt " else form
    if chunk != b"data" or len(form) < 16:
        raise AudioError(f"{name}: a damaged WAV file: no samples after its header")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if tag == EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack("<H", form[24:26])
    if (tag, bits) not in WAV_ENCODINGS or not 1 <= channels <= 32:
        raise AudioError(
            f"{name}: WAV with {channels} channels of {bits} bits in format {tag}: expected 16 or "
            "32 bits, or 32-bit float"
        )
    limit = None if size == 0 or size >= STREAMED else size
    return rate, read_raw_pipe(file, WAV_ENCODINGS[tag, bits], channels, limit)


def read_raw_pipe(
    file: BinaryIO, encoding: str, channels: int = 1, limit: int | None = None
) -> Iterator[Samples]:
    """Pieces (n,) of samples in one of ENCODINGS, little-endian, channels interleaved, up to the
    end or `limit` bytes. An incomplete last sample is dropped. Raises AudioError for a header."""
    kind = ENCODINGS[encoding]
    frame = kind.itemsize * channels
    scale = 1.0 if kind.kind == "f" else 2.0 ** (8 * kind.itemsize - 1)
    rest, is_first = b"", True
    while limit is None or limit > 0:
        data = _read_some(file, READ if limit is None else min(READ, limit))
        if not data:
            return
        if is_first and data[:4] + data[8:12] == b"RIFFWAVE":
            raise AudioError("WAV, where samples without a header were expected; remove --rate")
        is_first = False
        limit = None if limit is None else limit - len(data)
        data = rest + data
        whole = len(data) // frame * frame
        rest = data[whole:]
        if whole:
            values = np.frombuffer(data[:whole], kind).reshape(-1, channels)
            with np.errstate(invalid="ignore", over="ignore"):  # refused where they are used
                samples = (values.mean(axis=1) / scale).astype(np.float32)
            yield samples


def _read_some(file: BinaryIO, most: int) -> bytes:
    """What has arrived, at least a byte; nothing at the end."""
    read1 = getattr(file, "read1", file.read)
    data: bytes = read1(most)
    return data


def _read_exactly(file: BinaryIO, count: int, name: str) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise AudioError(f"{name}: ended within the header; expected WAV with samples")
    return data
