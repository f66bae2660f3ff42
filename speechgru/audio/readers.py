"""libsndfile and FFmpeg behind one interface: an audio file → blocks of samples.

Design choices:
- libsndfile first (WAV, FLAC, Ogg, SPHERE); FFmpeg, through PyAV, for MP3, for what libsndfile
  cannot open (m4a, webm, mp4, aac, …) and for files whose length it does not know.
- `frames` is the best estimate of a file's length before decoding, `promised` what its header
  claims: `loading` compares the two, and both with what decoding yields.
- FFmpeg may open only the containers listed here: others (playlists, scripts) can refer to further
  files and addresses.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from io import FileIO
from typing import Any, Literal, Protocol

import av
import av.error
import numpy as np
import numpy.typing as npt
import soundfile

Block = npt.NDArray[np.float32]  # (frames, channels)

BLOCK_FRAMES = 8192
UNKNOWN = 1 << 62  # libsndfile's count of frames when a FLAC header does not have it
STREAMED = 0x7F000000  # data sizes from here on are what recorders write before they know

CONTAINERS = {  # FFmpeg's name of each container that is opened → suffixes searched for in folders
    "wav": (".wav",),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga", ".opus"),
    "mp3": (".mp3",),
    "mov": (".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".3g2"),
    "aac": (".aac",),
    "matroska": (".mkv", ".mka", ".webm"),
    "asf": (".asf", ".wma"),
    "amr": (".amr", ".awb"),
    "aiff": (".aif", ".aiff", ".aifc"),
    "au": (".au", ".snd"),
    "caf": (".caf",),
    "w64": (".w64",),
    "nistsphere": (".sph",),
}
LIBSNDFILE_NAMES = {"wavex": "wav", "rf64": "wav", "nist": "nistsphere"}  # others are the keys
AUDIO_SUFFIXES = frozenset(suffix for suffixes in CONTAINERS.values() for suffix in suffixes)
EXPECTED = "expected an audio file such as WAV, FLAC, Ogg, MP3, m4a or webm"

# Before version 19, PyAV by default refuses a file with a tag that is not UTF-8.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)


class Unreadable(Exception):
    """Neither library can decode the file; the message is the reason, without the file's name."""

    def __init__(
        self, reason: str, kind: Literal["unreadable", "empty", "truncated"] = "unreadable"
    ) -> None:
        super().__init__(reason)
        self.kind = kind


READ_ERRORS = (Unreadable, soundfile.SoundFileError, av.error.FFmpegError, OSError)


class AudioReader(Protocol):
    """An open audio file."""

    rate: int  # Hz
    channels: int
    frames: int
    promised: int
    container: str  # a key of CONTAINERS
    codec: str
    slack: float  # seconds by which the two, and what is decoded, may differ

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        """Frames `start` to `stop` (None: to the end) in blocks (frames, channels)."""
        ...

    def close(self) -> None: ...


@contextlib.contextmanager
def open_reader(file: FileIO) -> Iterator[AudioReader]:
    """A reader of an unbuffered file; both libraries move the file's position.

    Raises one of READ_ERRORS when neither library can read it, or when it has no audio.
    """
    reader: AudioReader | None = _try_libsndfile(file)
    no_samples = reader is not None and reader.frames == 0
    if reader is None or no_samples:
        reader = _try_ffmpeg(file)
    if reader is None or reader.frames == 0:
        if no_samples:
            raise Unreadable("a header without samples; record or copy it again", "empty")
        file.seek(0)
        raise Unreadable(f"not an audio file, or cut off: it begins {file.read(24)!r}; {EXPECTED}")
    try:
        yield reader
    finally:
        reader.close()


def _try_libsndfile(file: FileIO) -> "LibsndfileReader | None":
    """None if libsndfile cannot open the file, does not know its length, or would damage it: in
    MP3, soundfile's seek after every block silences the beginning of the next one."""
    if _is_mp3(_first_frame(file)):
        return None
    _refuse_cut_page(file)
    try:
        reader = LibsndfileReader(file)
    except soundfile.SoundFileError:
        return None
    if reader.frames >= UNKNOWN or reader.file.format == "MP3":
        reader.close()
        return None
    return reader


def _try_ffmpeg(file: FileIO) -> "FfmpegReader | None":
    try:
        return FfmpegReader(file)
    except READ_ERRORS:
        return None


# libsndfile --------------------------------------------------------------------------------------


class LibsndfileReader:
    slack = 0.01  # a header may be off by a few bytes

    def __init__(self, file: FileIO) -> None:
        file.seek(0)
        header = re.search(rb"\nsample_count -i (\d{1,15})\s", file.read(1024))
        sphere_count = int(header[1]) if header else 0
        file.seek(0)  # libsndfile starts here, and shares the position from now on
        self.file = soundfile.SoundFile(file.fileno(), closefd=False)
        self.rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int = self.file.frames
        self.promised = self.frames
        container = self.file.format.lower()
        self.container = LIBSNDFILE_NAMES.get(container, container)
        self.codec = self.file.subtype.lower()
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


def _refuse_cut_page(file: FileIO) -> None:
    """Ogg has no length to check against, but its last page gives that page's own size."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * 65307))  # the longest page has 65307 bytes
    tail = file.read()
    page = tail.rfind(b"OggS")
    segments = tail[page + 26] if page + 26 < len(tail) else 255
    body = page + 27 + segments  # after one byte for each segment's length
    if page < 0 or body + sum(tail[page + 27 : body]) > len(tail):
        raise Unreadable(
            "truncated: it ends in the middle of an Ogg page; copy it again", "truncated"
        )


# FFmpeg ------------------------------------------------------------------------------------------


class FfmpegReader:
    slack = 0.15  # a codec's delay and padding: up to 1152 samples, at 8 kHz

    def __init__(self, file: FileIO) -> None:
        first_frame = _first_frame(file)
        with _container(file) as container:
            stream = _audio_stream(container)
            self.rate: int = stream.codec_context.sample_rate
            self.channels: int = stream.codec_context.channels
            if not self.rate or not self.channels:
                raise Unreadable("a damaged audio stream; copy or record it again")
            name = container.format.name
            self.container = next((key for key in CONTAINERS if key in name), name)
            self.codec: str = stream.codec_context.name
            claim = _claimed_seconds(container, stream, first_frame)
            stored = round(_packet_seconds(container, stream) * self.rate)
        self.promised = round(claim * self.rate)
        # More than is claimed is a codec's padding, or is hidden by an mp4's edit list; but a webm
        # that claims a few ms is from a recorder that never filled in the length.
        excess = stored - self.promised
        unfilled = "webm" in container.format.name and excess > self.slack * self.rate
        self.frames = min(stored, self.promised) if self.promised and not unfilled else stored
        self.file = file

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        position = 0
        with _container(self.file) as container:
            for frame in container.decode(_audio_stream(container)):
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
        """Nothing is open between calls."""


def _container(file: FileIO) -> Any:
    file.seek(0)
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": ""}
    return av.open(file, options=options, **_METADATA)


def _audio_stream(container: Any) -> Any:
    streams = [s for s in container.streams.audio if s.codec_context]  # None: no decoder for it
    if not streams:
        raise Unreadable(f"no audio stream in it; {EXPECTED}")
    return streams[0]


def _claimed_seconds(container: Any, stream: Any, first_frame: bytes) -> float:
    """The length that the container states; 0 if it does not and FFmpeg would only estimate it."""
    kinds = container.format.name.split(",")
    indexed = any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))
    if stream.duration and ("mov" in kinds or ("mp3" in kinds and indexed)):
        return float(stream.duration * stream.time_base)
    if container.duration and "matroska" in kinds and not container.streams.video:
        late = float((stream.start_time or 0) * stream.time_base)
        return float(container.duration / av.time_base) - late
    return 0.0


def _packet_seconds(container: Any, stream: Any) -> float:
    """The length of the stream by its packets' times, read without decoding."""
    counted, begin, end = 0, None, 0
    for packet in container.demux(stream):
        counted += packet.duration or 0
        if packet.pts is not None:
            begin = packet.pts if begin is None else min(begin, packet.pts)
            end = max(end, packet.pts + (packet.duration or 0))
    return float(max(counted, end - max(0, begin or 0)) * stream.time_base)


def _to_block(frame: Any) -> Block:
    """FFmpeg's samples as (frames, channels) float32, integers scaled to [-1, 1)."""
    try:
        values = frame.to_ndarray()
    except ValueError:
        raise Unreadable(f"samples in the format {frame.format.name} are not supported") from None
    channels = len(frame.layout.channels)
    block = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if block.dtype == np.uint8:
        block = block.astype(np.float32) - 128
        return np.asarray(block / 128, dtype=np.float32)
    scale = 1 << (8 * block.dtype.itemsize - 1) if block.dtype.kind == "i" else 1
    return np.asarray(block / np.float32(scale), dtype=np.float32)


def _first_frame(file: FileIO) -> bytes:
    """The first 200 bytes after an ID3 tag: in an MP3, the frame that may count all others."""
    file.seek(0)
    head = file.read(10)
    tagged = head[:3] == b"ID3" and len(head) == 10
    tag_size = sum((b & 0x7F) << (7 * i) for i, b in enumerate(reversed(head[6:])))
    file.seek(10 + tag_size if tagged else 0)
    return file.read(200)


def _is_mp3(frame: bytes) -> bool:
    return len(frame) > 4 and frame[0] == 0xFF and frame[1] & 0xE6 == 0xE2  # sync, layer III
