"""Any audio file → mono float32 samples, at the file's own rate or the one asked for.

Design choices:
- A file with less audio than it promises is an error, never silently shorter audio. Damage in the
  middle is skipped with a warning, up to MAX_LOST of the file.
- Headers are not trusted with memory: audio is read, checked and resampled in blocks, so a high
  sample rate or a false length in a header costs time, not memory.
- A file name may contain anything: the readers get open files, not names, and no other program is
  started.
"""

import contextlib
import functools
import logging
import math
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from speechgru.audio.mixing import MAX_SAMPLE, mono_blocks
from speechgru.audio.readers import (
    MAX_LOST,
    READ_ERRORS,
    AudioReader,
    Block,
    Unreadable,
    open_reader,
)
from speechgru.errors import AudioError, printable, reason_of
from speechgru.manifest import Utterance

log = logging.getLogger(__name__)
Samples = npt.NDArray[np.float32]

MAX_HOURS = 10.0  # in memory at once: 2.3 GB at 16 kHz
MAX_FILE_HOURS = 100.0  # a header that claims more is damaged
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
HEADER_THREADS = 8  # reading headers is I/O-bound
HEADERS_PER_TASK = 16
SLACK = 0.15  # seconds a segment may extend past the end: rounding, a codec's padding


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a header says: `duration` in seconds, `sample_rate` in Hz. `container` is a key of
    `readers.CONTAINERS`; `codec` is the library's name for it, such as "pcm_16" or "aac"."""

    duration: float
    sample_rate: int
    channels: int
    container: str = ""
    codec: str = ""


def audio_info(path: str | Path) -> AudioInfo:
    """Duration, rate and channels, without decoding. The duration is within SLACK of what
    `read_audio` returns.

    Raises AudioError: no such file, not an audio file, no samples, visibly truncated.
    """
    with _open(path) as reader:
        return _info(reader)


def _info(reader: AudioReader) -> AudioInfo:
    seconds = reader.frames / reader.rate
    return AudioInfo(seconds, reader.rate, reader.channels, reader.container, reader.codec)


def read_headers(paths: Iterable[str | Path]) -> list[AudioInfo | AudioError]:
    """The `audio_info` of each file, or the error, in order."""
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        files = list(paths)
        parts = [files[i : i + HEADERS_PER_TASK] for i in range(0, len(files), HEADERS_PER_TASK)]
        return [info for part in pool.map(_infos, parts) for info in part]


def _infos(paths: Sequence[str | Path]) -> list[AudioInfo | AudioError]:
    found: list[AudioInfo | AudioError] = []
    for path in paths:
        try:
            found.append(audio_info(path))
        except AudioError as error:
            found.append(error)
    return found


def segment_duration(
    path: str | Path, header: AudioInfo | AudioError, offset: float, duration: float
) -> float:
    """How many seconds of a segment `read_audio` returns: less than `duration` if the file ends up
    to SLACK earlier. Raises AudioError past its end, for no sample, and the header's own error."""
    if isinstance(header, AudioError):
        raise header
    end, rate, problem = offset + duration, header.sample_rate, ""
    if round(offset * rate) / rate >= header.duration or end > header.duration + SLACK:
        problem = f"past the end of the file at {header.duration:.6g} s"
    elif round(duration * rate) < 1:
        problem = "shorter than one sample"
    if problem:
        segment = f"the segment from {offset:.6g} to {end:.6g} s"
        raise AudioError(f"{path}: {segment} is {problem}; check offset and duration")
    return min(duration, header.duration - offset)


def warn_of_early_ends(
    name: str | Path,
    utterances: Sequence[Utterance],
    headers: Mapping[str, AudioInfo | AudioError],
) -> None:
    """Warn if utterances of the manifest `name` end more than SLACK before their file does: their
    text is probably that of the whole file. Utterances that are one of several in their file, or
    begin after its start, are segments and may end anywhere."""
    uses = Counter(utterance.audio for utterance in utterances if utterance.audio in headers)
    early: list[tuple[Utterance, float]] = []
    for utterance in utterances:
        header = headers.get(utterance.audio)
        if not isinstance(header, AudioInfo) or utterance.offset:
            continue
        missing = header.duration - utterance.duration
        if uses[utterance.audio] == 1 and missing > SLACK:
            early.append((utterance, missing))
    if early:
        checked = sum(isinstance(headers.get(u.audio), AudioInfo) for u in utterances)
        mean = sum(missing for _, missing in early) / len(early)
        examples = ", ".join(
            f"{utterance.id} ({utterance.duration:.2f} of {utterance.duration + missing:.2f} s)"
            for utterance, missing in early[:3]
        )
        log.warning(
            "%s: %d of %d utterances end before their file does, by %.2f s on average: %s; the "
            "rest of the audio is not used: correct the durations",
            printable(name), len(early), checked, mean, examples,
        )  # fmt: skip


def read_utterance(utterance: Utterance, sample_rate: int) -> Samples:
    """(samples,) float32 at `sample_rate` Hz: the part of its file. Raises AudioError."""
    return read_audio(utterance.audio, sample_rate, utterance.offset, utterance.duration)


def read_audio(
    path: str | Path,
    sample_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
) -> Samples:
    """(samples,) float32, mono: the mean of the channels, at `sample_rate` Hz (None: the file's).
    Channels that cancel each other are added with signs that agree (`mixing`).

    `offset` and `duration` select a segment, in seconds; at the file's own rate it has exactly
    round(duration × rate) samples, fewer if the file ends up to SLACK earlier. In formats that
    FFmpeg reads (MP3, m4a, …), everything before the segment is decoded, too.

    Raises AudioError: no such file, not an audio file, no samples, truncated or damaged, NaN or
    infinite samples, a segment past the end, more than MAX_HOURS.
    """
    blocks = list(iter_audio(path, sample_rate, offset, duration, MAX_HOURS))
    return np.ascontiguousarray(np.concatenate(blocks), dtype=np.float32)


def iter_audio(
    path: str | Path,
    sample_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    max_hours: float = MAX_FILE_HOURS,
) -> Iterator[Samples]:
    """The samples of `read_audio` in blocks (samples,), in bounded memory.

    Raises AudioError as `read_audio` does, some of it only when the end is reached.
    """
    with _open(path) as reader:
        start, stop = _frame_range(path, reader, offset, duration, max_hours)
        blocks = mono_blocks(_checked_blocks(path, reader, start, stop, max_hours), reader.rate)
        if sample_rate is None or sample_rate == reader.rate:
            yield from blocks
            return
        stream = soxr.ResampleStream(reader.rate, sample_rate, 1, dtype="float32", quality="HQ")
        found = 0
        for block in blocks:
            resampled = stream.resample_chunk(np.ascontiguousarray(block, dtype=np.float32))
            found += len(resampled)
            yield resampled
        last = stream.resample_chunk(np.empty(0, np.float32), last=True)
        if not found + len(last):
            raise AudioError(f"{path}: too short for a sample at {sample_rate} Hz", "empty")
        yield last


@contextlib.contextmanager
def open_audio(path: str | Path) -> Iterator[tuple[AudioInfo, Iterator[Block]]]:
    """A whole file at its own rate, with all its channels, in blocks (frames, channels).

    Raises AudioError as `iter_audio` does; what is wrong with the content is raised by the blocks.
    """
    with _open(path) as reader:
        yield _info(reader), _checked_blocks(path, reader, 0, None, MAX_FILE_HOURS)


def resample(samples: Samples, rate_from: int, rate_to: int) -> Samples:
    """(samples,) at `rate_from` Hz → (about samples × rate_to / rate_from,) float32 at `rate_to`.

    soxr's HQ filter: 20 bits, linear phase. `iter_audio` gives the same values, bit for bit.
    """
    if rate_from != rate_to:
        samples = soxr.resample(samples, rate_from, rate_to, quality="HQ")
    return np.ascontiguousarray(samples, dtype=np.float32)


# Opening and checking ----------------------------------------------------------------------------


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[AudioReader]:
    """A reader of the file, whose header has been checked."""
    with _open_file(path) as file, contextlib.ExitStack() as stack:
        try:
            reader = stack.enter_context(open_reader(file))
        except READ_ERRORS as error:
            kind = error.kind if isinstance(error, Unreadable) else "unreadable"
            raise AudioError(f"{path}: {error}", kind) from None
        if not MIN_RATE <= reader.rate <= MAX_RATE:
            raise AudioError(
                f"{path}: a sample rate of {reader.rate} Hz; expected {MIN_RATE} to {MAX_RATE}"
            )
        if (hours := reader.frames / reader.rate / 3600) > MAX_FILE_HOURS:
            raise AudioError(
                f"{path}: its header claims {hours:.0f} hours, more than {MAX_FILE_HOURS:.0f}; "
                "the file is probably damaged"
            )
        if not reader.damaged:
            _refuse_truncated(path, reader, reader.frames, reader.promised)
        _warn(path, reader)
        yield reader


def _warn(path: str | Path, reader: AudioReader) -> None:
    for note in reader.notes:
        _warn_once(f"{path}: {note}")
    reader.notes.clear()


@functools.lru_cache(10_000)
def _warn_once(message: str) -> None:
    """A file is opened for its header, and again in every epoch."""
    log.warning("%s", printable(message))


def _open_file(path: str | Path, search: bool = True) -> FileIO:
    """A regular file that is not empty; a device or pipe may never end. With `search`, a path in
    another Unicode form or with Windows' separators is found, too."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
            raise AudioError(f"{path}: {kind}; expected an audio file")
        file = open(path, "rb", buffering=0)  # noqa: SIM115 (the caller closes it)
    except FileNotFoundError:
        from speechgru.misspelt import similar_path  # rarely needed

        found, hint = similar_path(path) if search else (None, "")
        if found is not None:
            return _open_file(found, search=False)
        raise AudioError(f"{path}: no such file{hint}; check the path", "missing") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be opened: {reason_of(error)}") from None
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise AudioError(f"{path}: an empty file (0 bytes); expected an audio file", "empty")
    return file


def _frame_range(
    path: str | Path, reader: AudioReader, offset: float, duration: float | None, max_hours: float
) -> tuple[int, int | None]:
    """The first frame, and the one after the last (None: to the end)."""
    if not (math.isfinite(offset) and offset >= 0):
        raise AudioError(f"{path}: offset must be 0 seconds or more, got {offset}")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise AudioError(f"{path}: duration must be more than 0 seconds, got {duration}")
    start = round(offset * reader.rate)
    stop = None if duration is None else start + round(duration * reader.rate)
    last = reader.frames if stop is None else stop
    segment_duration(path, _info(reader), start / reader.rate, (last - start) / reader.rate)
    _refuse_long(path, last - start, reader.rate, max_hours)
    return start, stop


def _checked_blocks(
    path: str | Path, reader: AudioReader, start: int, stop: int | None, max_hours: float
) -> Iterator[Block]:
    """Frames `start` to `stop` in blocks (frames, channels); length and values are checked."""
    expected = (reader.frames if stop is None else min(stop, reader.frames)) - start
    late: list[Block] = []  # a codec's padding, unless the audio continues after it
    found = 0
    try:
        for block in reader.blocks(start, stop):
            _refuse_not_finite(path, block, start + found, reader.rate)
            found += len(block)
            _refuse_long(path, found, reader.rate, max_hours)
            beyond = found - expected if stop is None else 0
            if 0 < beyond <= reader.slack * reader.rate:
                within = max(0, len(block) - beyond)
                yield block[:within]
                late.append(block[within:])
            else:
                yield from late
                late.clear()
                yield block
    except Unreadable as error:
        raise AudioError(f"{path}: {error}", error.kind) from None
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(
            f"{path}: truncated or damaged: {(start + found) / reader.rate:.2f} s found, "
            f"{(start + expected) / reader.rate:.2f} s promised ({reason})",
            "truncated",
        ) from None
    if reader.damaged:
        _refuse_damaged(path, reader, expected - found, expected)
    else:
        _refuse_truncated(path, reader, start + found, start + expected)
    _warn(path, reader)
    if not found:
        raise AudioError(f"{path}: a header without samples; record or copy it again", "empty")


def _refuse_damaged(path: str | Path, reader: AudioReader, missing: int, expected: int) -> None:
    """An error or a warning, by how much of the `expected` frames is lost."""
    lost = reader.lost + max(0, missing)
    share = lost / max(expected, 1)
    found = f"{lost / reader.rate:.2f} s ({share:.1%}) of its audio cannot be decoded"
    if share > MAX_LOST:
        raise AudioError(
            f"{path}: damaged: {found}, more than {MAX_LOST:.0%}; copy or record it again",
            "truncated",
        )
    if lost:
        reader.notes.append(f"damaged: {found}; the rest is used")


def _refuse_long(path: str | Path, frames: int, rate: int, max_hours: float) -> None:
    if (hours := frames / rate / 3600) > max_hours:
        raise AudioError(
            f"{path}: {hours:.1f} hours of audio; at most {max_hours:.0f} can be read at once: "
            "split the file"
        )


def _refuse_truncated(path: str | Path, reader: AudioReader, found: int, promised: int) -> None:
    if found < promised - reader.slack * reader.rate:
        raise AudioError(
            f"{path}: truncated: {found / reader.rate:.2f} s found, "
            f"{promised / reader.rate:.2f} s promised by its header; copy or record it again",
            "truncated",
        )


def _refuse_not_finite(path: str | Path, block: Block, start: int, rate: int) -> None:
    usable = np.abs(block) <= MAX_SAMPLE  # not NaN either
    if not usable.all():
        first, channel = np.argwhere(~usable)[0]
        raise AudioError(
            f"{path}: the sample at {(start + first) / rate:.3f} s is {block[first, channel]}; "
            "expected values from -1 to 1: export the file again"
        )
