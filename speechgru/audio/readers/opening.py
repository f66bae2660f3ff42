"""An audio file → the reader for it.

Design choices:
- libsndfile first, at exact positions; FFmpeg for MP3, for what libsndfile cannot open (m4a, webm,
  mp4, aac, …), decodes badly (MP3 and GSM in WAV) or does not know the length of.
- libsndfile gets the format and audio chunks of a WAV only.
- What both libraries pass over is handled here: the links of a chained Ogg, data chunks of a WAV
  after the first, WAV, mp4 or AIFF files joined into one.
- A file that cannot be read is refused for the reason that applies.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from itertools import chain

import numpy as np
import soundfile
import soxr

from speechgru.audio.mixing import mono_blocks
from speechgru.audio.readers.ffmpeg import GAP, FfmpegReader, first_frame, is_mp3
from speechgru.audio.readers.interface import (
    MAX_LOST,
    READ_ERRORS,
    AudioReader,
    Block,
    File,
    Unreadable,
    size_of,
)
from speechgru.audio.readers.joined import find_files
from speechgru.audio.readers.ogg import OggPages, read_pages
from speechgru.audio.readers.parts import FileParts
from speechgru.audio.readers.reasons import explain, other_file
from speechgru.audio.readers.riff import BY_LIBSNDFILE, STREAMED, Riff, joined_header, read_riff
from speechgru.audio.readers.sndfile import UNKNOWN, SndfileReader

MAX_PARTS = 1000  # links of a chained Ogg, WAVs in one file
MIN_EXTRA = 0.15  # seconds of audio after the end that a WAV's header states
BYTES_PER_SAMPLE = {
    "pcm_s8": 1, "pcm_u8": 1, "ulaw": 1, "alaw": 1, "pcm_16": 2, "pcm_24": 3, "pcm_32": 4,
    "float": 4,
}  # fmt: skip
EMPTY = "a header without samples; record or copy it again"


@contextlib.contextmanager
def open_reader(file: FileIO) -> Iterator[AudioReader]:
    """A reader of an unbuffered file; both libraries move the file's position.

    Raises one of READ_ERRORS when neither library can read it, or when it has no audio.
    """
    if reason := other_file(file):
        raise Unreadable(reason)
    reader = _open(file)
    try:
        yield reader
    finally:
        reader.close()


def _open(file: File) -> AudioReader:
    pages = read_pages(file)
    if pages is not None:
        return _open_ogg(file, pages)
    riff = read_riff(file)
    if riff is not None:
        return _open_riff(file, riff)
    files = find_files(file)
    return (
        JoinedReader(file, files, _open_plain, "files in one") if files[1:] else _open_plain(file)
    )


def _open_plain(file: File, promised_ratio: float = 1.0) -> AudioReader:
    """By libsndfile, else by FFmpeg. In MP3, soundfile's seek after every block silences the
    beginning of the next one."""
    reader: AudioReader | None = None
    if not is_mp3(first_frame(file)):
        with contextlib.suppress(soundfile.SoundFileError):
            reader = _by_libsndfile(file)
    empty = reader is not None and reader.frames == 0
    if reader is None or empty:
        try:
            reader = FfmpegReader(file, promised_ratio)
        except Unreadable as error:
            raise (Unreadable(EMPTY, "empty") if empty else error) from None
        except READ_ERRORS:
            raise (Unreadable(EMPTY, "empty") if empty else Unreadable(explain(file))) from None
        if reader.frames == reader.promised == 0:
            raise Unreadable(EMPTY, "empty")
    return reader


def _by_libsndfile(file: File) -> AudioReader | None:
    """None if libsndfile does not know the length, or takes the file for MP3."""
    size = size_of(file)  # before libsndfile, with which the position is shared
    reader = SndfileReader(file)
    known = reader.frames < UNKNOWN and not _understated(reader, size)
    if known and reader.file.format != "MP3":
        return reader
    reader.close()
    return None


def _understated(reader: SndfileReader, size: int) -> bool:
    """Whether a FLAC or AU file is larger than its header's number of samples needs, without
    compression. FFmpeg reads such a file to its end."""
    if reader.container not in ("flac", "au") or reader.codec not in BYTES_PER_SAMPLE:
        return False
    needed = (reader.frames + MIN_EXTRA * reader.rate) * reader.channels
    return size > needed * BYTES_PER_SAMPLE[reader.codec] + 65536


def _open_ogg(file: File, pages: OggPages) -> AudioReader:
    share = pages.damaged / size_of(file)
    if pages.cut:
        raise Unreadable(
            "truncated: it ends in the middle of an Ogg page; copy it again", "truncated"
        )
    if share > MAX_LOST:
        raise Unreadable(
            f"damaged: {share:.0%} of its bytes are not intact Ogg pages; copy it again"
        )
    # libsndfile does not keep the times of what follows a gap
    opened = FfmpegReader if pages.gap > GAP and not pages.damaged else _open_plain
    if len(pages.links) == 1:
        reader = opened(file)
    else:
        reader = JoinedReader(file, pages.links, opened, "links of a chained Ogg")
    if pages.damaged:
        reader.damaged = True
        reader.notes.append(f"{share:.2%} of its bytes are damaged; what they contain is lost")
    return reader


def _open_riff(file: File, riff: Riff) -> AudioReader:
    if riff.form != b"WAVE":
        return _open_plain(file, riff.promised_ratio)
    if riff.next_file is not None:
        parts = _wav_files(file, riff.next_file, riff.size)
        return JoinedReader(file, parts, _open, "WAV files in one")
    if riff.data and not any(riff.data):
        raise Unreadable(EMPTY, "empty")
    if riff.codec and riff.codec not in BY_LIBSNDFILE:
        return _open_rare_codec(file, riff)
    extra = riff.unknown / max(riff.bytes_per_second, 1)
    beyond = len(riff.data) == 1 and riff.claimed < STREAMED and extra > MIN_EXTRA
    if riff.plain and not beyond and len(riff.data) < 2:
        return _open_plain(file)
    if beyond:
        riff.data = [range(riff.data[0].start, riff.size)]
    reader = _open_plain(FileParts(file, [joined_header(riff), *riff.data]))
    reader.promised = round(reader.frames * riff.promised_ratio)
    if beyond:
        reader.notes.append(
            f"it has {extra:.2f} s of audio after the end that its header states; this is read, too"
        )
    if len(riff.data) > 1:
        reader.notes.append(f"{len(riff.data)} data chunks; all are read")
    return reader


def _open_rare_codec(file: File, riff: Riff) -> AudioReader:
    """GSM, MP3 and others in WAV: libsndfile reads some of them, without exact positions."""
    with contextlib.suppress(*READ_ERRORS):
        by_ffmpeg = FfmpegReader(file, riff.promised_ratio)
        if by_ffmpeg.frames:  # FFmpeg opens codecs, too, of which it finds no audio
            return by_ffmpeg
    with contextlib.suppress(soundfile.SoundFileError):
        if reader := _by_libsndfile(file):
            return reader
    raise Unreadable(explain(file))


def _wav_files(file: File, second: int, size: int) -> list[range]:
    """The byte ranges of WAV files that follow one another in a file."""
    starts = [0, second]
    while len(starts) <= MAX_PARTS:
        riff = read_riff(FileParts(file, [range(starts[-1], size)]))
        if riff is None or riff.next_file is None:
            break
        starts.append(starts[-1] + riff.next_file)
    return [range(*pair) for pair in zip(starts, [*starts[1:], size], strict=True)]


class JoinedReader:
    """Parts of a file one after the other, as mono at the highest of their rates.

    Raises Unreadable if one of the parts cannot be read, or if there are more than MAX_PARTS.
    """

    def __init__(
        self, file: File, parts: Sequence[range], opened: Callable[[File], AudioReader], what: str
    ) -> None:
        if len(parts) > MAX_PARTS:
            raise Unreadable(f"{len(parts)} {what}; at most {MAX_PARTS} are read: split the file")
        self._parts = [FileParts(file, [part]) for part in parts]
        self._opened = opened
        self.lost, self.damaged = 0, False
        self.notes = [f"{len(parts)} {what}; all are read"]
        readers: list[AudioReader] = []
        for number, part in enumerate(self._parts, 1):
            try:
                readers.append(opened(part))
            except READ_ERRORS as error:
                raise Unreadable(f"part {number} of {len(parts)} ({what}): {error}") from None
            readers[-1].close()
        self.rate = max(reader.rate for reader in readers)
        self.channels, self.container, self.codec = 1, readers[0].container, readers[0].codec
        self._lengths = [round(each.frames * self.rate / each.rate) for each in readers]
        self.frames = sum(self._lengths)
        self.promised = sum(round(each.promised * self.rate / each.rate) for each in readers)
        self.slack = sum(reader.slack for reader in readers)

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        position = 0
        for part, length in zip(self._parts, self._lengths, strict=True):
            first, last = max(0, start - position), length
            if stop is not None:
                last = min(length, stop - position)
            if first < last:
                reader = self._opened(part)
                try:
                    for block in self._part_blocks(reader, first, last):
                        yield block[:, None]
                finally:
                    self.lost += round(reader.lost * self.rate / reader.rate)
                    self.damaged |= reader.damaged
                    reader.close()
            position += length

    def _part_blocks(self, reader: AudioReader, first: int, last: int) -> Iterator[Block]:
        """Frames `first` to `last` of a part, (frames,) at the common rate."""
        if reader.rate == self.rate:
            yield from mono_blocks(reader.blocks(first, last), self.rate)
            return
        stream = soxr.ResampleStream(reader.rate, self.rate, 1, dtype="float32", quality="HQ")
        position = 0
        for block in chain(mono_blocks(reader.blocks(0, None), reader.rate), [None]):
            chunk = np.empty(0, np.float32) if block is None else np.ascontiguousarray(block)
            resampled = stream.resample_chunk(chunk, last=block is None)
            yield resampled[max(0, first - position) : max(0, last - position)]
            position += len(resampled)

    def close(self) -> None:
        """Nothing is open between calls."""
