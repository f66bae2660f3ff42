"""Reading through libsndfile: WAV, FLAC, Ogg, SPHERE, AIFF and others, at exact positions."""

import re
from collections.abc import Iterator
from io import FileIO

import numpy as np
import soundfile

from speechgru.audio.readers.interface import Block, File, Unreadable, read_head
from speechgru.audio.readers.joined import flac_follows
from speechgru.audio.readers.riff import STREAMED

BLOCK_FRAMES = 8192
UNKNOWN = 1 << 62  # libsndfile's count of frames when a FLAC header does not have it
CONTAINER_NAMES = {"wavex": "wav", "rf64": "wav", "nist": "nistsphere", "svx": "iff"}
FIRST_SKIP = 0.05  # seconds skipped first where a file cannot be decoded; then twice as much, …
LAST_SKIP = 60.0


class SndfileReader:
    """Raises soundfile.SoundFileError for a file that libsndfile cannot open."""

    slack = 0.01  # a header may be off by a few bytes

    def __init__(self, file: File) -> None:
        header = re.search(rb"\nsample_count -i (\d{1,15})\s", read_head(file)[:1024])
        sphere_count = int(header[1]) if header else 0
        self._source = file
        self.file = self._open()
        self.rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int = self.file.frames
        self.promised = self.frames
        container = self.file.format.lower()
        self.container = CONTAINER_NAMES.get(container, container)
        self.codec = self.file.subtype.lower()
        self.lost, self.damaged = 0, False
        self.notes: list[str] = []
        if sphere_count:
            self.promised = sphere_count
        elif claim := re.search(
            r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", self.file.extra_info
        ):
            claimed, actual = int(claim[1]), int(claim[2])
            if actual < claimed < STREAMED:
                self.promised = round(self.frames * claimed / max(actual, 1))

    def _open(self) -> soundfile.SoundFile:
        self._source.seek(0)  # libsndfile starts here, and shares the position from now on
        if isinstance(self._source, FileIO):
            return soundfile.SoundFile(self._source.fileno(), closefd=False)
        return soundfile.SoundFile(self._source)

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        position, stop = start, self.frames if stop is None else min(stop, self.frames)
        if self.file.seekable():
            self.file.seek(start)
        else:  # ADPCM in AU, GSM in AIFF and W64
            for first in range(0, start, BLOCK_FRAMES):
                self.file.read(min(start - first, BLOCK_FRAMES))
        while position < stop:
            try:
                block = self.file.read(
                    min(stop - position, BLOCK_FRAMES), dtype="float32", always_2d=True
                )
            except soundfile.SoundFileError as error:
                self._refuse_another_flac()  # libFLAC may fail at the second's header
                block = self._after_damage(position, stop, error)
            if not len(block):
                # libsndfile fills in packets of Opus that are missing, but not all of their samples
                self.damaged |= self.codec == "opus"
                return
            position += len(block)
            yield block
        if stop == self.frames:
            self._refuse_another_flac()

    def _refuse_another_flac(self) -> None:
        if self.container == "flac" and flac_follows(self._source):
            raise Unreadable(
                "another FLAC file follows the first in it, and would be lost; separate them"
            )

    def _after_damage(self, position: int, stop: int, error: soundfile.SoundFileError) -> Block:
        """Silence for the part that cannot be decoded, and the first block that can be. Raises the
        error where nothing follows: the file is cut off."""
        skip = FIRST_SKIP
        while skip <= LAST_SKIP and (end := position + round(skip * self.rate)) < self.frames:
            self.file.close()
            self.file = self._open()  # an error stays with an open file
            try:
                self.file.seek(end)
                block = self.file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.SoundFileError:
                block = []
            if len(block):
                self.damaged = True
                self.lost += min(end, stop) - position
                silence = np.zeros((end - position, self.channels), np.float32)
                return np.concatenate([silence, block])[: stop - position]
            skip *= 2
        raise error

    def close(self) -> None:
        self.file.close()
