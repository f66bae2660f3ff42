"""Any sound file → mono float32 samples, at the file's own rate or the one asked for.

Design choices:
- libsndfile first (WAV, FLAC, Ogg, SPHERE); FFmpeg, through PyAV, for MP3, for what libsndfile
  cannot open (m4a, webm, mp4, aac) and where it does not know a length. See `readers.py`.
- A file that holds less than it promises is an error, never a silently shorter sound.
- Headers are not trusted with memory: sound is read, checked and resampled in blocks, up to
  MAX_HOURS, so that a high rate in the file costs time alone.
- Names may hold anything: the readers get open files, never names, and no other program is started.
"""

import contextlib
import math
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from speechgru.audio.readers import FAULTS, Sound, open_sound
from speechgru.errors import AudioError, printable

Samples = npt.NDArray[np.float32]

MAX_HOURS = 10.0  # of one reading: 2.3 GB at 16 kHz
MAX_FILE_HOURS = 100.0  # a longer file is a damaged header
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
READERS = 8  # threads: a header costs little work and much waiting
SLACK = 0.15  # seconds that a part may reach beyond the end: rounding, a codec's padding

AUDIO_SUFFIXES = frozenset(  # what a search of folders takes for sound, in lower case
    [
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm"),
        *(".sph", ".aif", ".aiff", ".au", ".caf", ".w64"),
    ]
)


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a header says: seconds, Hz, count."""

    duration: float
    sample_rate: int
    channels: int


def audio_info(path: str | Path) -> AudioInfo:
    """Length, rate and channels without decoding; within SLACK of what `read_audio` returns.

    Raises AudioError: no such file, not a sound file, no samples, visibly truncated.
    """
    with _open(path) as sound:
        return AudioInfo(sound.frames / sound.rate, sound.rate, sound.channels)


def read_headers(paths: Iterable[str | Path]) -> list[AudioInfo | AudioError]:
    """Length and rate of each file, or what is wrong with it, in order."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(_header, paths))


def segment_duration(
    path: str | Path, header: AudioInfo | AudioError, offset: float, duration: float
) -> float:
    """How many seconds of a part `read_audio` returns: fewer than `duration` where the file ends up
    to SLACK earlier. Raises AudioError for a part beyond the end, and the header's own fault."""
    if isinstance(header, AudioError):
        raise header
    end = offset + duration
    begin = round(offset * header.sample_rate) / header.sample_rate  # as it is read
    if begin >= header.duration or end > header.duration + SLACK:
        raise AudioError(
            f"{path}: asked for seconds {offset:.6g} to {end:.6g}, but it has {header.duration:.6g}"
        )
    return min(duration, header.duration - offset)


def read_audio(
    path: str | Path,
    sample_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
) -> Samples:
    """(samples,) float32, mono: the mean of the channels, at `sample_rate` Hz (None: the file's).

    `offset` and `duration` cut out a part, in seconds; at the file's own rate it has exactly
    round(duration × rate) samples, less where the file ends up to SLACK earlier. From formats that
    FFmpeg reads (MP3, m4a, …), a part costs decoding all that comes before it.

    Raises AudioError: no such file, not a sound file, no samples, truncated or damaged, NaN or
    infinite samples, a part beyond the end, more than MAX_HOURS.
    """
    with _open(path) as sound:
        start, stop = _span(sound, offset, duration, printable(path))
        blocks = _blocks(sound, start, stop, printable(path))
        if sample_rate is not None and sample_rate != sound.rate:
            blocks = _resampled(blocks, sound.rate, sample_rate)
        return np.ascontiguousarray(np.concatenate(list(blocks)), dtype=np.float32)


def resample(samples: Samples, rate_from: int, rate_to: int) -> Samples:
    """(samples,) at `rate_from` Hz → (about samples × rate_to / rate_from,) float32 at `rate_to`.

    soxr's HQ filter: 20 bits, linear phase.
    """
    if rate_from != rate_to:
        samples = soxr.resample(samples, rate_from, rate_to, quality="HQ")
    return np.ascontiguousarray(samples, dtype=np.float32)


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[Sound]:
    """A decoder on the file, its promises checked."""
    name = printable(path)
    with _open_file(path) as file, contextlib.ExitStack() as stack:
        try:
            sound = stack.enter_context(open_sound(file))
        except FAULTS as fault:
            raise AudioError(f"{name}: {fault}") from None
        if not MIN_RATE <= sound.rate <= MAX_RATE:
            raise AudioError(
                f"{name}: a sample rate of {sound.rate} Hz; expected {MIN_RATE} to {MAX_RATE}"
            )
        if sound.frames / sound.rate > MAX_FILE_HOURS * 3600:
            raise AudioError(
                f"{name}: its header promises {sound.frames / sound.rate / 3600:.0f} hours, "
                f"more than {MAX_FILE_HOURS:.0f}; the file is damaged"
            )
        _refuse_short(name, sound, sound.frames, sound.promised)
        yield sound


def _open_file(path: str | Path) -> FileIO:
    """An ordinary file with something in it; no device or pipe, which may never end."""
    name = printable(path)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
            raise AudioError(f"{name}: {kind}; expected a sound file")
        file = open(path, "rb", buffering=0)  # noqa: SIM115 (the caller closes it)
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file; check the path") from None
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else fault
        raise AudioError(f"{name}: cannot be opened: {reason}") from None
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise AudioError(f"{name}: an empty file (0 bytes); expected a sound file")
    return file


def _span(sound: Sound, offset: float, duration: float | None, name: str) -> tuple[int, int | None]:
    """First frame, and the one after the last (None: to the end)."""
    if not (math.isfinite(offset) and offset >= 0):
        raise AudioError(f"{name}: offset must be 0 seconds or more, got {offset}")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise AudioError(f"{name}: duration must be more than 0 seconds, got {duration}")
    start = round(offset * sound.rate)
    stop = None if duration is None else start + round(duration * sound.rate)
    last = sound.frames if stop is None else stop
    header = AudioInfo(sound.frames / sound.rate, sound.rate, sound.channels)
    segment_duration(name, header, start / sound.rate, (last - start) / sound.rate)
    if (hours := (last - start) / sound.rate / 3600) > MAX_HOURS:
        raise AudioError(
            f"{name}: {hours:.1f} hours; at most {MAX_HOURS:.0f} are read at once: split the file"
        )
    return start, stop


def _blocks(sound: Sound, start: int, stop: int | None, name: str) -> Iterator[Samples]:
    """Frames `start` to `stop` as mono blocks (samples,), checked for length and for numbers."""
    expected = (sound.frames if stop is None else min(stop, sound.frames)) - start
    late: list[Samples] = []  # a codec's padding, unless the sound goes on
    found = 0
    try:
        for block in sound.blocks(start, stop):
            mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
            _refuse_nonsense(name, mono, start + found, sound.rate)
            found += len(mono)
            if found > MAX_HOURS * 3600 * sound.rate:
                raise AudioError(f"{name}: more than {MAX_HOURS:.0f} hours; split the file")
            beyond = found - expected if stop is None else 0
            if 0 < beyond <= sound.slack * sound.rate:
                within = max(0, len(mono) - beyond)
                yield mono[:within]
                late.append(mono[within:])
            else:
                yield from late
                late.clear()
                yield mono
    except FAULTS as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise AudioError(
            f"{name}: truncated or damaged: {(start + found) / sound.rate:.2f} s found, "
            f"{(start + expected) / sound.rate:.2f} s promised ({reason})"
        ) from None
    _refuse_short(name, sound, start + found, start + expected)
    if not found:
        raise AudioError(f"{name}: a header without samples; record or copy it again")


def _resampled(blocks: Iterable[Samples], rate_from: int, rate_to: int) -> Iterator[Samples]:
    """What `resample` makes of all blocks together, to the bit."""
    stream = soxr.ResampleStream(rate_from, rate_to, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block, dtype=np.float32))
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _refuse_short(name: str, sound: Sound, found: int, promised: int) -> None:
    if found < promised - sound.slack * sound.rate:
        raise AudioError(
            f"{name}: truncated: {found / sound.rate:.2f} s found, "
            f"{promised / sound.rate:.2f} s promised by its header; copy or record it again"
        )


def _refuse_nonsense(name: str, samples: Samples, start: int, rate: int) -> None:
    finite = np.isfinite(samples)
    if not finite.all():
        first = int(np.argmin(finite))
        raise AudioError(
            f"{name}: the sample at {(start + first) / rate:.3f} s is {samples[first]}, not a "
            "number; export it again"
        )


def _header(path: str | Path) -> AudioInfo | AudioError:
    try:
        return audio_info(path)
    except AudioError as fault:
        return fault
