"""Reading through FFmpeg (PyAV): MP3, m4a, webm and whatever libsndfile cannot open.

Everything before a segment is decoded, too: exact seeking does not exist in most of these formats.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.stream import Disposition

from speechgru.audio.readers.containers import CONTAINERS
from speechgru.audio.readers.interface import (
    MAX_LOST,
    Block,
    File,
    Unreadable,
    read_head,
    size_of,
    tag_end,
)
from speechgru.audio.readers.parts import FileParts
from speechgru.audio.readers.samples import to_block
from speechgru.audio.readers.tracks import choose_track, protection

MP3_PADDING = 1105 + 1152  # samples of LAME's delay and, at most, of what fills the last frame
GAP = 0.1  # seconds by which timestamps may be ahead of the audio; a longer gap is filled
MAX_GAPS = 600.0  # seconds by which gaps may exceed the audio; else the timestamps are damaged
STATES_ITS_LENGTH = {"mov", "flac", "tta", "wv", "ape", "mpc", "mpc8", "tak", "dsf", "caf", "aiff"}
STATES_THE_LONGEST = {"matroska", "asf", "flv"}  # of all tracks together
UNFRAMED = {"aac", "ac3", "eac3", "dts"}  # frames one after the other, without a container
# Before version 19, PyAV by default refuses a file with a tag that is not UTF-8.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)


class FfmpegReader:
    """`promised_ratio` is the length that the file claims over the length of what is there, where
    FFmpeg does not know.

    Raises Unreadable for a file without audio that can be decoded, and av.error.FFmpegError or
    OSError for one that FFmpeg cannot open.
    """

    slack = 0.15  # seconds: a codec's delay and padding, up to 1152 samples at 8 kHz

    def __init__(self, file: File, promised_ratio: float = 1.0) -> None:
        self.file = file
        self.lost, self.damaged = 0, False
        self.notes: list[str] = []
        self._begin: float | None = None  # of the file by its timestamps, if its audio is later
        self._format = "gsm" if is_raw_gsm(file) else None
        with self._container() as container:
            self._track, note = choose_track(container, self._packets, file)
            self.notes += note
            stream = container.streams[self._track]
            self.rate: int = stream.codec_context.sample_rate
            self.channels: int = stream.codec_context.channels
            if not self.rate or not self.channels:
                raise Unreadable("a damaged audio stream; copy or record it again")
            names = container.format.name.split(",")
            self.container = next((key for key in CONTAINERS if key in names), names[0])
            self.codec: str = stream.codec_context.name
            self.frames, self.promised = self._lengths(container, stream)
        self.promised = max(self.promised, round(self.frames * promised_ratio))
        if not self.frames and (reason := protection(file)):
            raise Unreadable(reason)

    def _container(self) -> Any:
        file = FileParts(self.file, [range(size_of(self.file))])  # any seek is valid
        options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": ""}
        return av.open(file, format=self._format, options=options, **_METADATA)

    def _lengths(self, container: Any, stream: Any) -> tuple[int, int]:
        """Frames by the packets' times, and as the container claims."""
        kinds = set(container.format.name.split(","))
        seconds, start, late, reach, packed = _packet_seconds(container, stream)
        claim = seconds
        size = size_of(self.file) - tag_end(self.file)
        if kinds & UNFRAMED and packed < size:
            self._note_skipped((size - packed) / size)
        counted = sample_count(first_frame(self.file)) if "mp3" in kinds else 0
        if stream.duration and (counted or kinds & STATES_ITS_LENGTH):
            claim = float(stream.duration * stream.time_base)
            if counted:  # of joined MP3s, FFmpeg's is an estimate by the first one's bit rate
                claim = min(claim, counted / self.rate)
        elif container.duration and kinds & STATES_THE_LONGEST:
            missing = container.duration / av.time_base - reach
            claim += missing if missing > -self.slack else 0.0  # else it was never filled in
        # More than is claimed is a codec's padding, or is hidden by an mp4's edit list; but an MP3
        # or FLAC with much more has a count that is too low, such as of the first of two files.
        padding = max(self.slack, MP3_PADDING / self.rate)
        low = kinds & {"mp3", "flac"} and seconds > claim + padding
        if seconds > claim and not low:
            seconds = claim
        if late > MAX_GAPS:  # rather a clock of its own
            self.notes.append(
                f"its timestamps begin {late:.0f} s after another track's; times are from there"
            )
        elif late > GAP:
            self._begin = start
            seconds, claim = late + seconds, late + claim
        return round(seconds * self.rate), round(claim * self.rate)

    def _note_skipped(self, share: float) -> None:
        """FFmpeg skips what is no frame without an error."""
        if share > MAX_LOST:
            raise Unreadable(
                f"damaged: {share:.0%} of its bytes are in no intact frame; copy it again"
            )
        self.damaged = True
        self.notes.append(
            f"damaged: {share:.2%} of its bytes are in no intact frame; they are lost"
        )

    def _packets(self, track: int) -> Iterator[tuple[Any, list[Any] | None]]:
        """The packets of a track with their decoded frames; None where decoding fails."""
        with self._container() as container:
            context = container.streams[track].codec_context
            if container.format.name == "caf" and context is not None and context.name == "alac":
                # the decoder omits what fills the last packet; FFmpeg would cut as much again
                context.options = {"flags2": "+skip_manual"}
            for packet in container.demux(container.streams[track]):
                try:
                    yield packet, packet.decode()
                except av.error.FFmpegError:
                    yield packet, None

    def blocks(self, start: int, stop: int | None) -> Iterator[Block]:
        position = 0
        counts = {"audio": 0, "lost": 0, "gap": 0}  # frames
        for kind, block in self._decoded():
            end = None if stop is None else max(0, stop - position)
            part = block[max(0, start - position) : end]
            position += len(block)
            if len(part):
                counts[kind] += len(part)
                yield part
            if stop is not None and position >= stop:
                break
        self.lost, read = counts["lost"], sum(counts.values())
        if self.damaged and (not counts["audio"] or self.lost > MAX_LOST * read):
            share = self.lost / read if counts["audio"] else 1.0
            raise Unreadable(
                protection(self.file)
                or f"damaged: {share:.0%} of its audio cannot be decoded; copy or record it again",
                "truncated",
            )
        if counts["gap"]:
            self.notes.append(
                f"{counts['gap'] / self.rate:.2f} s of {read / self.rate:.2f} s are missing by its "
                "timestamps (audio that begins late, a pause of the recorder, or damage); they are "
                "read as silence"
            )

    def _decoded(self) -> Iterator[tuple[Literal["audio", "lost", "gap"], Block]]:
        """All frames from the beginning; gaps, and what cannot be decoded, as silence."""
        position = silent = 0
        expected = self._begin  # time at which the next frame should begin
        after_damage = False
        for packet, frames in self._packets(self._track):
            if frames is None:
                self.damaged = after_damage = True
                seconds = float((packet.duration or 0) * packet.time_base)
                expected = None if expected is None else expected + seconds
                length = self._until_end(seconds, position)
                position += length
                for block in self._silence(length):
                    yield "lost", block
            for frame in frames or []:
                if frame.sample_rate != self.rate:
                    raise Unreadable(f"the rate changes from {self.rate} to {frame.sample_rate} Hz")
                begin = None if frame.pts is None else float(frame.pts * frame.time_base)
                gap = 0.0 if begin is None or expected is None else begin - expected
                if gap > GAP:
                    length = self._until_end(gap, position)
                    position, silent = position + length, silent + length
                    if 2 * silent > MAX_GAPS * self.rate + position:
                        jump = f"its timestamps jump by {silent / self.rate:.0f} s"
                        raise Unreadable(f"damaged: {jump}; copy or record it again", "truncated")
                    for block in self._silence(length):
                        yield "lost" if after_damage else "gap", block
                if expected is None or begin is None or abs(gap) > GAP:
                    expected = begin
                # Shorter gaps add up: a recorded call has lost many packets of 20 ms.
                block = to_block(frame)
                position += len(block)
                expected = None if expected is None else expected + len(block) / self.rate
                after_damage = False
                yield "audio", block

    def _until_end(self, seconds: float, position: int) -> int:
        """A duration in frames, at most up to the end of the file."""
        return max(0, min(round(seconds * self.rate), self.frames - position))

    def _silence(self, frames: int) -> Iterator[Block]:
        while frames > 0:
            count = min(frames, self.rate)
            frames -= count
            yield np.zeros((count, self.channels), np.float32)

    def close(self) -> None:
        """Nothing is open between calls."""


def _packet_seconds(container: Any, stream: Any) -> tuple[float, float, float, float, int]:
    """The length of the stream by its packets' times, read without decoding; when the first of all
    streams begins, and how much later this one does; the end of the last packet of any stream; and
    the packets' bytes. Seconds, and what is before 0 is not played."""
    counted, begin, end, start, reach, packed = 0, None, 0, None, 0.0, 0
    streams = [
        each
        for each in container.streams
        if each.type in ("audio", "video") and not each.disposition & Disposition.attached_pic
    ]
    for packet in container.demux(streams):
        if packet.pts is not None:
            stop = packet.pts + (packet.duration or 0)
            reach = max(reach, float(stop * packet.time_base))
            time = max(0.0, float(packet.pts * packet.time_base))
            start = time if start is None else min(start, time)
        if packet.stream_index != stream.index:
            continue
        counted += packet.duration or 0
        packed += packet.size
        if packet.pts is not None:
            begin = packet.pts if begin is None else min(begin, packet.pts)
            end = max(end, stop)
    first, start = max(0, begin or 0), start or 0.0
    late = 0.0 if begin is None else float(first * stream.time_base) - start
    return float(max(counted, end - first) * stream.time_base), start, late, reach, packed


# What FFmpeg's libraries do not report -----------------------------------------------------------


def first_frame(file: File) -> bytes:
    """The first 200 bytes after an ID3 tag: in an MP3, the frame that may count all others."""
    file.seek(tag_end(file))
    return file.read(200) or b""


def is_mp3(frame: bytes) -> bool:
    return len(frame) > 4 and frame[0] == 0xFF and frame[1] & 0xE6 == 0xE2  # sync, layer III


def sample_count(frame: bytes) -> int:
    """The samples of an MP3 by the count of frames in its first one; 0 if there is none. The
    encoder's delay and padding are included."""
    found = re.search(
        rb"(?:Xing|Info)...[\1\3\5\7\x09\x0b\x0d\x0f](.{4})|VBRI.{10}(.{4})", frame, re.DOTALL
    )
    frames = int.from_bytes(found[1] or found[2], "big") if found else 0
    return frames * (1152 if frame[1] & 0x08 else 576)  # MPEG 1, or 2 and 2.5


def is_raw_gsm(file: File) -> bool:
    """GSM 6.10 without a header, as telephone systems store it: frames of 33 bytes, each of which
    begins with the bits 1101. FFmpeg knows it only by name."""
    head = read_head(file)
    starts = head[::33]
    return size_of(file) % 33 == 0 and len(starts) > 4 and all(b >> 4 == 0xD for b in starts)
