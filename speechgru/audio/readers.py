"""Two libraries that turn files into blocks of samples, behind one face.

Design choices:
- `frames` is the best estimate of a file's length before decoding, `promised` what its header
  claims: `audio.py` compares the two, and both with what decoding yields.
- FFmpeg may open only containers named here: others (playlists, scripts) can name further files
  and addresses.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from io import FileIO
from typing import Any, Protocol

import av
import av.error
import numpy as np
import numpy.typing as npt
import soundfile

Block = npt.NDArray[np.float32]  # (frames, channels)

BLOCK_FRAMES = 8192
UNKNOWN = 1 << 62  # libsndfile's count of frames when a FLAC header leaves it open
STREAMED = 0x7F000000  # data sizes from here on are what recorders write before they know
CONTAINERS = "mov,mp4,m4a,3gp,matroska,webm,aac,mp3,ogg,flac,wav,w64,aiff,au,caf,nistsphere,asf,amr"
KINDS = "WAV, FLAC, Ogg, MP3, SPHERE, m4a, mp4, webm or aac"


class Unreadable(Exception):
    """Neither library makes sound of it; the message says what was found, without the name."""


FAULTS = (Unreadable, soundfile.SoundFileError, av.error.FFmpegError, OSError)


class Sound(Protocol):
    """An open sound file."""

    rate: int  # Hz
    channels: int
    frames: int
    promised: int
    slack: float  # seconds by which the two, and what is decoded, may differ

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        """Frames `start` to `stop` (None: to the end) in blocks (frames, channels)."""
        ...

    def close(self) -> None: ...


@contextlib.contextmanager
def open_sound(file: FileIO) -> Iterator[Sound]:
    """A reader of an unbuffered file: both libraries move its descriptor.

    Raises one of FAULTS when no library reads it, or when there is no sound in it.
    """
    sound: Sound | None = _try_libsndfile(file)
    no_samples = sound is not None and sound.frames == 0
    if sound is None or no_samples:
        sound = _try_ffmpeg(file)
    if sound is None or sound.frames == 0:
        if no_samples:
            raise Unreadable("a header without samples; record or copy it again")
        file.seek(0)
        raise Unreadable(
            f"cut off, or no sound file (it begins {file.read(24)!r}); expected {KINDS}"
        )
    try:
        yield sound
    finally:
        sound.close()


def _try_libsndfile(file: FileIO) -> "_Libsndfile | None":
    """None where libsndfile cannot open the file, does not know its length, or would harm it: in
    MP3, soundfile's seek after every block silences the beginning of the next one."""
    if _is_mp3(_first_frame(file)):
        return None
    _refuse_cut_page(file)
    try:
        sound = _Libsndfile(file)
    except soundfile.SoundFileError:
        return None
    if sound.frames >= UNKNOWN or sound.file.format == "MP3":
        sound.close()
        return None
    return sound


def _try_ffmpeg(file: FileIO) -> "_Ffmpeg | None":
    try:
        return _Ffmpeg(file)
    except FAULTS:
        return None


class _Libsndfile:
    slack = 0.01  # a header may be off by a few bytes

    def __init__(self, file: FileIO) -> None:
        sphere_count = _sphere_count(file)
        file.seek(0)  # libsndfile starts here, and shares the position from now on
        self.file = soundfile.SoundFile(file.fileno(), closefd=False)
        self.rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int = self.file.frames
        self.promised = self.frames
        if sphere_count:
            self.promised = sphere_count
        elif claim := re.search(
            r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", self.file.extra_info
        ):
            claimed, actual = int(claim[1]), int(claim[2])
            if actual < claimed < STREAMED:
                self.promised = round(self.frames * claimed / max(actual, 1))

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        left = (self.frames if stop is None else min(stop, self.frames)) - start
        self.file.seek(start)
        while left > 0:
            block = self.file.read(min(left, BLOCK_FRAMES), dtype="float32", always_2d=True)
            if not len(block):
                return
            left -= len(block)
            yield block

    def close(self) -> None:
        self.file.close()


class _Ffmpeg:
    slack = 0.15  # a codec's delay and padding: up to 1152 samples, at 8 kHz

    def __init__(self, file: FileIO) -> None:
        first_frame = _first_frame(file)
        with _container(file) as container:
            stream = _sound_stream(container)
            self.rate: int = stream.codec_context.sample_rate
            self.channels: int = stream.codec_context.channels
            if not self.rate or not self.channels:
                raise Unreadable(f"a damaged sound stream; expected {KINDS}")
            claim = _claimed_seconds(container, stream, first_frame)
            held = round(_packet_seconds(container, stream) * self.rate)
        self.promised = round(claim * self.rate)
        # What a file holds beyond its claim is a codec's padding, or hidden by an mp4's edit list;
        # but a webm's claim of a few ms is a recorder's that never came back to fill it in.
        unfilled = "webm" in container.format.name and held - self.promised > self.slack * self.rate
        self.frames = min(held, self.promised) if self.promised and not unfilled else held
        self.file = file

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        position = 0
        with _container(self.file) as container:
            for frame in container.decode(_sound_stream(container)):
                if frame.sample_rate != self.rate:
                    raise Unreadable(f"the rate changes from {self.rate} to {frame.sample_rate} Hz")
                block = _to_block(frame)
                end = None if stop is None else max(0, stop - position)
                part = block[max(0, start - position) : end]
                position += len(block)
                if len(part):
                    yield part
                if stop is not None and position >= stop:
                    return

    def close(self) -> None:
        """Nothing stays open between calls."""


def _container(file: FileIO) -> Any:
    file.seek(0)
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}
    return av.open(file, options=options, metadata_errors="ignore")


def _sound_stream(container: Any) -> Any:
    streams = [s for s in container.streams.audio if s.codec_context]  # None: no decoder for it
    if not streams:
        raise Unreadable(f"no sound stream in it; expected {KINDS}")
    return streams[0]


def _claimed_seconds(container: Any, stream: Any, first_frame: bytes) -> float:
    """Length as the container tells it; 0 where it does not, and FFmpeg would only estimate."""
    kinds = container.format.name.split(",")
    indexed = any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))
    if stream.duration and ("mov" in kinds or ("mp3" in kinds and indexed)):
        return float(stream.duration * stream.time_base)
    if container.duration and "matroska" in kinds and not container.streams.video:
        late = float((stream.start_time or 0) * stream.time_base)
        return float(container.duration / av.time_base) - late
    return 0.0


def _packet_seconds(container: Any, stream: Any) -> float:
    """How long the stream is by its packets' times, read without decoding."""
    counted, begin, end = 0, None, 0
    for packet in container.demux(stream):
        counted += packet.duration or 0
        if packet.pts is not None:
            begin = packet.pts if begin is None else min(begin, packet.pts)
            end = max(end, packet.pts + (packet.duration or 0))
    return float(max(counted, end - max(0, begin or 0)) * stream.time_base)


def _to_block(frame: Any) -> Block:
    """FFmpeg's samples, integers scaled to [-1, 1), as (frames, channels) float32."""
    try:
        values = frame.to_ndarray()
    except ValueError:
        raise Unreadable(f"samples of the kind {frame.format.name} are not supported") from None
    channels = frame.layout.nb_channels
    block = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if block.dtype == np.uint8:
        block = block.astype(np.float32) - 128
        return np.asarray(block / 128, dtype=np.float32)
    scale = 1 << (8 * block.dtype.itemsize - 1) if block.dtype.kind == "i" else 1
    return np.asarray(block / np.float32(scale), dtype=np.float32)


def _first_frame(file: FileIO) -> bytes:
    """The first 200 bytes after an ID3 tag: of an MP3, the frame that may count all others."""
    file.seek(0)
    head = file.read(10)
    tagged = head[:3] == b"ID3" and len(head) == 10
    tag_size = sum((b & 0x7F) << (7 * i) for i, b in enumerate(reversed(head[6:])))
    file.seek(10 + tag_size if tagged else 0)
    return file.read(200)


def _is_mp3(frame: bytes) -> bool:
    return len(frame) > 4 and frame[0] == 0xFF and frame[1] & 0xE6 == 0xE2  # sync, layer III


def _sphere_count(file: FileIO) -> int:
    """`sample_count` of a SPHERE header: frames."""
    file.seek(0)
    match = re.search(rb"\nsample_count -i (\d{1,15})\s", file.read(1024))
    return int(match[1]) if match else 0


def _refuse_cut_page(file: FileIO) -> None:
    """Ogg has no length to check against, but its last page says how long that page is."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * 65307))  # the longest page has 65307 bytes
    tail = file.read()
    page = tail.rfind(b"OggS")
    segments = tail[page + 26] if page + 26 < len(tail) else 255
    body = page + 27 + segments  # after a byte for each segment's length
    if page < 0 or body + sum(tail[page + 27 : body]) > len(tail):
        raise Unreadable("truncated: it ends in the middle of an Ogg page; copy it again")
