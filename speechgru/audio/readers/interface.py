"""What every reader of audio files provides, whichever library it uses."""

import io
from collections.abc import Iterator
from io import FileIO
from typing import Literal, Protocol

import av.error
import numpy as np
import numpy.typing as npt
import soundfile

from speechgru.audio.readers.parts import FileParts

Block = npt.NDArray[np.float32]  # (frames, channels)
File = FileIO | FileParts
HEAD = 4096  # bytes at the beginning of a file that show what it is

MAX_LOST = 0.05  # share of a file that may be damaged; what is lost is then silent or missing


class Unreadable(Exception):
    """The file cannot be decoded; the message is the reason, without the file's name."""

    def __init__(
        self, reason: str, kind: Literal["unreadable", "empty", "truncated"] = "unreadable"
    ) -> None:
        super().__init__(reason)
        self.kind = kind


# UnicodeError: PyAV's, for names of codecs and tags
READ_ERRORS = (Unreadable, soundfile.SoundFileError, av.error.FFmpegError, OSError, UnicodeError)


class AudioReader(Protocol):
    """An open audio file."""

    rate: int  # Hz
    channels: int  # as the header claims; later blocks may have others
    container: str  # a key of CONTAINERS
    codec: str
    frames: int  # the best estimate of the length before decoding
    promised: int  # the length that the header claims
    slack: float  # seconds by which the two, and what is decoded, may differ
    lost: int  # frames that could not be decoded; complete when all blocks have been read
    damaged: bool  # parts in the middle are known to be missing
    notes: list[str]  # what a user should know about the file, without its name

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        """Frames `start` to `stop` (None: to the end) in blocks (frames, channels). What is lost in
        the middle is silent, if its length is known."""
        ...

    def close(self) -> None: ...


def read_head(file: File) -> bytes:
    """The first HEAD bytes, or all of a shorter file."""
    file.seek(0)
    return file.read(HEAD) or b""


def size_of(file: File) -> int:
    """Bytes."""
    return file.seek(0, io.SEEK_END)


def tag_end(file: File) -> int:
    """Where an ID3 tag at the beginning ends; 0 if there is none."""
    head = read_head(file)[:10]
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << (7 * i) for i, byte in enumerate(reversed(head[6:])))
