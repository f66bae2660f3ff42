"""Audio from a pipe, as it arrives: WAV, or samples without a header."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from speechgru.audio.arrays import MAX_CHANNELS
from speechgru.audio.readers.ffmpeg import is_mp3
from speechgru.audio.readers.riff import STREAMED
from speechgru.errors import AudioError

ENCODINGS: dict[str, np.dtype[Any]] = {
    "s16": np.dtype("<i2"),
    "s32": np.dtype("<i4"),
    "f32": np.dtype("<f4"),
}
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # formats of WAV
WAV_ENCODINGS = {(PCM, 16): "s16", (PCM, 32): "s32", (FLOAT, 32): "f32"}
MAX_HEADER = 1 << 20  # bytes before the samples
READ = 1 << 12  # bytes at once
HEAD = 12  # bytes from which most formats are known
FRAMES = 1 << 12  # bytes within which, in the others, the third frame begins
OTHERS = {  # beginning → format
    b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"\x1aE\xdf\xa3": "Matroska or WebM",
    b"FORM": "AIFF", b"caff": "CAF", b"NIST_1A": "SPHERE", b".snd": "AU", b"RF64": "RF64",
    b"BW64": "BW64", b"RIFX": "RIFX", b"riff": "W64", b"#!AMR": "AMR", b"0&\xb2u": "WMA",
}  # fmt: skip
NO_AUDIO = {
    b"PK\3\4": "a ZIP archive", b"\x1f\x8b\x08": "gzip", b"<!DOCTYPE": "HTML",
    b"<!doctype": "HTML", b"<html": "HTML", b"<?xml": "XML",
}  # fmt: skip
BIT_RATES = (  # kbit/s in MPEG 2 and 2.5, and in MPEG 1
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Form:
    """What a WAV header says. `size`: bytes of samples; None: up to the end."""

    rate: int
    encoding: str
    channels: int
    size: int | None


def read_wav_pipe(file: BinaryIO, name: str) -> tuple[int, Iterator[Samples]]:
    """The rate in Hz, and the samples (n, channels) of a WAV file that cannot be searched, in
    pieces, with those of other WAV files of the same format that follow.

    Raises AudioError, which begins with `name`, here and where the samples are read: no WAV file,
    samples of another type, none, fewer than its header says, or a file of another format behind.
    """
    form = _read_form(file, name, _read_exactly(file, HEAD, name))
    return form.rate, _wav_samples(file, name, form)


def read_raw_pipe(file: BinaryIO, encoding: str, name: str) -> Iterator[Samples]:
    """Pieces (n, 1) of samples in one of ENCODINGS, little-endian, up to the end. An incomplete
    last sample is dropped. Raises AudioError, which begins with `name`: a header, or no samples."""
    head = _with_frames(file, file.read(HEAD))
    if head[:4] + head[8:HEAD] == b"RIFFWAVE":
        raise AudioError(
            f"{name}: WAV, where samples without a header were expected; remove --rate"
        )
    _refuse_others(head, name)
    yield from _read_samples(file, name, encoding, 1, None, head)


def _refuse_others(head: bytes, name: str) -> None:
    for beginning, found in NO_AUDIO.items():
        if head.startswith(beginning):
            raise AudioError(f"{name}: {found}: expected WAV")
    others = [each for beginning, each in OTHERS.items() if head.startswith(beginning)]
    if head[4:8] == b"ftyp":
        others = ["MP4"]
    others += [kind for kind, length in FRAMED.items() if _repeats(head, length)]
    if others:
        raise AudioError(
            f"{name}: {others[0]}: expected WAV; transcribe it as a file, or convert it, as with "
            "`ffmpeg -i FILE -f wav -`"
        )


def _with_frames(file: BinaryIO, head: bytes) -> bytes:
    """With more of the file if its first byte may be that of a frame."""
    return head + file.read(FRAMES) if head[:1] in (b"\xff", b"G") else head


def _repeats(data: bytes, length: Callable[[bytes], int]) -> bool:
    """Whether three frames follow one another: a single one may be samples."""
    position = 0
    for _ in range(3):
        step = length(data[position : position + 8])
        if not step:
            return False
        position += step
    return True


def _mp3_length(frame: bytes) -> int:
    """Bytes of the frame of MPEG layer III that begins so; 0 if none does."""
    if not is_mp3(frame):
        return 0
    version, bit_rate, rate = frame[1] >> 3 & 3, frame[2] >> 4, frame[2] >> 2 & 3
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    kbps = BIT_RATES[version == 3][bit_rate - 1]
    hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if version == 3 else 72) * 1000 * kbps // hertz + (frame[2] >> 1 & 1)


def _adts_length(frame: bytes) -> int:
    if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        return 0
    return int.from_bytes(frame[3:6], "big") >> 5 & 0x1FFF


def _ts_length(frame: bytes) -> int:
    return 188 if frame[:1] == b"G" else 0


FRAMED = {"MP3": _mp3_length, "AAC": _adts_length, "an MPEG transport stream": _ts_length}


def _read_form(file: BinaryIO, name: str, head: bytes) -> _Form:
    """The form of a WAV file whose first bytes are `head`, read up to its samples."""
    if head[:4] != b"RIFF":
        _refuse_others(_with_frames(file, head), name)
        raise AudioError(
            f"{name}: begins with {head[:4]!r}: expected WAV; give --rate for samples without a "
            "header, or convert another format (MP3 …), as with `ffmpeg -i FILE -f wav -`"
        )
    form, size = b"", 0
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
    if (tag, bits) not in WAV_ENCODINGS or not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: WAV with {channels} channels of {bits} bits in format {tag}: expected 16 or "
            "32 bits, or 32-bit float"
        )
    return _Form(rate, WAV_ENCODINGS[tag, bits], channels, _known(size))


def _wav_samples(file: BinaryIO, name: str, form: _Form) -> Iterator[Samples]:
    """The samples of a file, and of those that follow, as after `cat a.wav b.wav |`."""
    following: _Form | None = form
    while following is not None:
        form = following
        yield from _read_samples(file, name, form.encoding, form.channels, form.size)
        following = None if form.size is None else _following(file, name, form)


def _following(file: BinaryIO, name: str, form: _Form) -> _Form | None:
    """The form of the next samples behind those of `form`, read up to them; None at the end."""
    left = (form.size or 0) % 2  # bytes that are not audio
    while True:
        while left and (skipped := file.read(min(left, READ))):
            left -= len(skipped)
        head = file.read(8)
        if len(head) < 8:
            return None
        if head[:4] == b"RIFF":
            head += _read_exactly(file, HEAD - len(head), name)
            other = _read_form(file, name, head)
            if (other.rate, other.channels) != (form.rate, form.channels):
                raise AudioError(
                    f"{name}: {other.rate} Hz and {other.channels} channels in a second WAV file, "
                    f"{form.rate} Hz and {form.channels} in the first; transcribe them one by one"
                )
            return other
        _refuse_others(head, name)
        chunk, size = struct.unpack("<4sI", head)
        if chunk == b"data" and size:  # some recorders write several
            return replace(form, size=_known(size))
        left = size + size % 2


def _known(size: int) -> int | None:
    """Bytes of samples; None where the recorder did not know them."""
    return None if size == 0 or size >= STREAMED else size


def _read_samples(
    file: BinaryIO, name: str, encoding: str, channels: int, size: int | None, head: bytes = b""
) -> Iterator[Samples]:
    """Pieces (n, channels) of `head` and what follows, `size` bytes or up to the end."""
    kind = ENCODINGS[encoding]
    frame = kind.itemsize * channels
    scale = 1.0 if kind.kind == "f" else 2.0 ** (8 * kind.itemsize - 1)
    rest, found, data = b"", 0, head
    while data or size is None or found < size:
        data = data or _read_some(file, READ if size is None else min(READ, size - found))
        if not data:
            break
        found += len(data)
        data = rest + data
        whole = len(data) // frame * frame
        rest = data[whole:]
        if whole:
            values = np.frombuffer(data[:whole], kind).reshape(-1, channels)
            with np.errstate(invalid="ignore", over="ignore"):  # refused where they are used
                samples = (values / scale).astype(np.float32)
            yield samples
        data = b""
    if found < frame:
        raise _failed(AudioError(f"{name}: no audio", "empty"))
    if size is not None and found < size:
        raise _failed(
            AudioError(
                f"{name}: truncated: {found // frame:,} samples found, {size // frame:,} promised",
                "truncated",
            )
        )


def _failed(error: AudioError) -> AudioError:
    """With the exit status of audio that fails, where the command is right."""
    error.exit_status = 1
    return error


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
