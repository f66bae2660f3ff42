"""Any sound file → mono float32 samples, at the file's own rate or the one asked for.

Design choices:
- libsndfile first (WAV, FLAC, Ogg, SPHERE); FFmpeg, through PyAV, for MP3, for what libsndfile
  cannot open (m4a, webm, mp4, aac) and where it does not know a length. See `readers.py`.
- A file that holds less than it promises is an error, never a silently shorter sound.
- Headers are not trusted with memory: sound is read in blocks, up to MAX_HOURS.
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

from speechgru.errors import AudioError
from speechgru.files import shown
from speechgru.readers import FAULTS, Sound, open_sound

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


def headers(paths: Iterable[Path]) -> list[AudioInfo | AudioError]:
    """Length and rate of each file, or what is wrong with it, in order."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(_header, paths))


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
        start, stop = _span(sound, offset, duration, shown(path))
        samples = _collect(sound, start, stop, shown(path))
        rate = sound.rate
    return samples if sample_rate is None else resample(samples, rate, sample_rate)


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
    name = shown(path)
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
    name = shown(path)
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
    if start >= sound.frames or last > sound.frames + SLACK * sound.rate:
        raise AudioError(
            f"{name}: asked for seconds {offset:.6g} to {last / sound.rate:.6g}, "
            f"but it has {sound.frames / sound.rate:.6g}"
        )
    if (hours := (last - start) / sound.rate / 3600) > MAX_HOURS:
        raise AudioError(
            f"{name}: {hours:.1f} hours; at most {MAX_HOURS:.0f} are read at once: split the file"
        )
    return start, stop


def _collect(sound: Sound, start: int, stop: int | None, name: str) -> Samples:
    """(samples,) of frames `start` to `stop`, checked for length and for numbers."""
    expected = (sound.frames if stop is None else min(stop, sound.frames)) - start
    parts: list[Samples] = []
    found = 0
    try:
        for block in sound.blocks(start, stop):
            parts.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
            found += len(block)
            if found > MAX_HOURS * 3600 * sound.rate:
                raise AudioError(f"{name}: more than {MAX_HOURS:.0f} hours; split the file")
    except FAULTS as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise AudioError(
            f"{name}: truncated or damaged: {(start + found) / sound.rate:.2f} s found, "
            f"{(start + expected) / sound.rate:.2f} s promised ({reason})"
        ) from None
    _refuse_short(name, sound, start + found, start + expected)
    if not found:
        raise AudioError(f"{name}: a header without samples; record or copy it again")
    samples = np.concatenate(parts)
    if stop is None and expected < found <= expected + sound.slack * sound.rate:
        samples = samples[:expected]  # a codec's padding
    _refuse_nonsense(name, samples, start, sound.rate)
    return np.ascontiguousarray(samples, dtype=np.float32)


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
            f"{name}: {len(samples) - np.count_nonzero(finite)} samples are not numbers "
            f"({samples[first]} at {(start + first) / rate:.3f} s); export it again"
        )


def _header(path: Path) -> AudioInfo | AudioError:
    try:
        return audio_info(path)
    except AudioError as fault:
        return fault
