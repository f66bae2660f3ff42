"""What audio is like: length, level, silence, clipping, offset, bandwidth, channels.

Design choices:
- Every file is decoded to its end, once, however many utterances it contains; in blocks, so that
  the length of a file costs no memory, only that of an utterance.
- Audio is measured as it is read, but at the file's own rate: resampling would hide clipping and
  bandwidth.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.audio import AudioInfo, Block, Samples, open_audio
from speechgru.audio.levels import SILENCE_DB, frame_levels
from speechgru.audio.mixing import choose_signs, mono_blocks, products_of
from speechgru.errors import AudioError

FRAME_SECONDS = 0.02  # of the frames that levels are measured in
QUIET_DB = 35.0  # a frame that much below the loud frames is silence
LOUD_FRAMES = 5  # the level is that of the fifth loudest frame, or of a louder one of short audio
SPECTRA = 100  # at most as many frames are used for the bandwidth
BAND_HZ = 250  # width of the bands that the bandwidth is measured in
LOWEST_END = 3000.0  # Hz; no codec ends earlier, but the spectrum of a vowel does
DROP_DB = 25.0  # the spectrum falls by that much where a narrower recording ends


@dataclass(frozen=True, slots=True)
class Measurement:
    """One utterance. `level` in dB of full scale, of which `peak` is a multiple; `silence` and
    `clipped` as shares; `bandwidth` in Hz: half the sample rate unless the spectrum ends earlier.
    `digest` is the same for identical samples only."""

    seconds: float
    level: float
    peak: float
    silence: float
    clipped: float
    offset: float
    bandwidth: float
    digest: str


@dataclass(frozen=True, slots=True)
class FileMeasurement:
    """A file: its header, its true length, whether a channel is silent or channels cancel each
    other; its utterances in the order asked for, None for one past the end or of less than one
    sample. After an `error`, nothing else is known."""

    info: AudioInfo | None
    seconds: float = 0.0
    silent_channels: int = 0
    inverted: bool = False
    utterances: tuple[Measurement | None, ...] = ()
    error: AudioError | None = None


def measure_file(path: str, segments: Sequence[tuple[float, float | None]]) -> FileMeasurement:
    """Decode a file and measure its segments (offset, duration), in seconds; a duration of None is
    the rest of the file."""
    try:
        with open_audio(path) as (info, blocks):
            channels = _Channels(info.channels)
            mixed = mono_blocks(channels.counted(blocks), info.sample_rate)
            ranges: list[tuple[int, int | None]] = []
            for start, seconds in segments:  # the samples that are read for training
                first = round(start * info.sample_rate)
                end = None if seconds is None else first + round(seconds * info.sample_rate)
                ranges.append((first, end))
            found: list[Measurement | None] = [None] * len(segments)
            for index, samples in _cut(mixed, ranges):
                found[index] = measure(samples, info.sample_rate)
    except AudioError as error:
        return FileMeasurement(None, utterances=(None,) * len(segments), error=error)
    return FileMeasurement(
        info,
        channels.frames / info.sample_rate,
        channels.silent(),
        channels.inverted(),
        tuple(found),
    )


def _cut(
    blocks: Iterable[Samples], ranges: Sequence[tuple[int, int | None]]
) -> Iterator[tuple[int, Samples]]:
    """The samples of each range (first, end) that is not empty, when it is complete."""
    open_: dict[int, list[Samples]] = {
        index: [] for index, (first, end) in enumerate(ranges) if end is None or end > first
    }
    position = 0
    for block in blocks:
        after = position + len(block)
        for index in list(open_):
            first, end = ranges[index]
            if first < after:
                stop = len(block) if end is None else end - position
                open_[index].append(block[max(0, first - position) : max(0, stop)])
            if end is not None and end <= after:
                yield index, np.concatenate(open_.pop(index))
        position = after
    yield from ((index, np.concatenate(parts)) for index, parts in open_.items() if parts)


class _Channels:
    """Adds up what channels have in common while a file is read."""

    def __init__(self, count: int) -> None:
        self.frames = 0
        self.products = np.zeros((count, count))

    def counted(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The same blocks, added up as they pass."""
        for block in blocks:
            self.frames += len(block)
            if block.shape[1] == len(self.products) > 1:  # it may change within a file
                self.products += products_of(block)
            yield block

    def silent(self) -> int:
        """Channels without signal beside one that has some: 60 dB below it or further."""
        powers = np.diag(self.products)
        return int((powers < 1e-6 * powers.max()).sum())

    def inverted(self) -> bool:
        return bool(choose_signs(self.products).min() < 0)


def measure(samples: Samples, rate: int) -> Measurement:
    """(samples,) float32 at `rate` Hz, at least one sample."""
    offset = float(samples.mean(dtype=np.float64))
    levels = frame_levels(samples, max(1, round(FRAME_SECONDS * rate)))
    rank = max(1, min(LOUD_FRAMES, len(levels) // 20))
    level = float(np.partition(levels, -rank)[-rank])
    peak = float(np.abs(samples).max())
    quantised = np.rint(samples * np.float32(32767 / max(1.0, peak))).astype(np.int16)
    return Measurement(
        seconds=len(samples) / rate,
        level=level,
        peak=peak,
        silence=float((levels < level - QUIET_DB).mean()) if level > SILENCE_DB else 1.0,
        clipped=clipped_share(samples),
        offset=offset,
        bandwidth=bandwidth(samples, rate),
        digest=hashlib.blake2b(quantised.tobytes(), digest_size=12).hexdigest(),
    )


def clipped_share(samples: Samples) -> float:
    """The share of samples in flat tops: three or more in a row within 0.1 % of the peak."""
    size = np.abs(samples)
    peak = float(size.max())
    if peak < 0.1:
        return 0.0
    high = size >= 0.999 * peak
    if int(high.sum()) < 3:
        return 0.0
    return float((high[:-2] & high[1:-1] & high[2:]).sum()) / len(samples)


def bandwidth(samples: Samples, rate: int) -> float:
    """Where the spectrum of the loud frames ends, in Hz.

    A recording that was upsampled, or that came through a telephone, has a spectrum that falls by
    DROP_DB within a band or two and stays there.
    """
    size = 1 << max(6, round(FRAME_SECONDS * rate).bit_length())
    nyquist = rate / 2
    width = max(1, round(BAND_HZ / rate * size))
    bands = (size // 2) // width
    if len(samples) < size or bands * width * rate / size < LOWEST_END:
        return nyquist
    starts = np.linspace(0, len(samples) - size, min(SPECTRA, 1 + len(samples) // size)).astype(int)
    frames = samples[starts[:, None] + np.arange(size)] * np.hanning(size).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames)))[:, : bands * width]
    summed = power.reshape(len(power), bands, width).sum(axis=2)
    levels = 10 * np.log10(np.percentile(summed, 95, axis=0) + 1e-12)
    rest = np.maximum.accumulate(levels[::-1])[::-1]  # the highest level from each band upwards
    for edge in range(round(LOWEST_END / (width * rate / size)), bands - 2):
        if levels[edge - 2 : edge].min() - rest[edge + 2] > DROP_DB:
            return min(nyquist, (edge + 1) * width * rate / size)
    return nyquist
