"""Synthetic recordings and ways to write, compare and refuse them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from speechgru.audio import Samples, read_audio
from speechgru.errors import AudioError, printable

RATE = 16000


def tones(seconds: float, rate: int = RATE) -> Samples:
    """Three sweeps below 3 kHz with pauses: they survive any codec, and no two parts are alike."""
    t = np.arange(round(seconds * rate)) / rate
    sweeps = [
        np.sin(2 * np.pi * (f * t + s * t**2)) for f, s in ((200, 90), (700, 40), (2500, -80))
    ]
    loud = 0.2 * np.clip(np.sin(2 * np.pi * 0.7 * t) * 3, 0, 1)
    return np.asarray(loud * sum(sweeps) / 2, dtype=np.float32)


def encode(path: Path, samples: Samples, rate: int, codec: str, **options: str) -> None:
    """Write through FFmpeg, (samples,) as mono, (samples, 2) as stereo."""
    encode_tracks(path, [samples], rate, codec, **options)


def encode_tracks(
    path: Path,
    tracks: Sequence[Samples],
    rate: int,
    codec: str,
    default: int | None = None,
    video: bool = False,
    late: float = 0.0,
    **options: str,
) -> None:
    """One audio track each, that of index `default` flagged so, which begins `late` seconds after
    the beginning, and a video track if wanted."""
    with av.open(str(path), "w", format=options.pop("format", None), options=options) as container:
        pictures: Any = (
            container.add_stream("mpeg4", rate=25, width=32, height=32) if video else None
        )
        streams = []
        for number, samples in enumerate(tracks):
            layout = "stereo" if samples.shape[1:] == (2,) else "mono"
            stream: Any = container.add_stream(codec, rate=rate, layout=layout)
            stream.bit_rate = 64000
            if default is not None:
                stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        if pictures:
            for number in range(int(25 * len(tracks[0]) / rate)):
                picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
                picture.pts = number
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        for stream, samples in zip(streams, tracks, strict=True):
            context = stream.codec_context
            converter = av.AudioResampler(
                context.format, context.layout, rate, frame_size=context.frame_size or None
            )
            planes = np.ascontiguousarray(samples.reshape(len(samples), -1).T.astype(np.float32))
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=context.layout.name)
            frame.sample_rate, frame.pts = rate, round(late * rate)
            for piece in (*converter.resample(frame), *converter.resample(None), None):
                container.mux(stream.encode(piece))


def correlation(a: Samples, b: Samples) -> float:
    length = min(len(a), len(b))
    return float(np.corrcoef(a[:length], b[:length])[0, 1])


def lag(reference: Samples, found: Samples) -> int:
    """How many samples later `found` has what `reference` has."""
    size = 1 << 20
    spectrum = np.fft.rfft(found, size) * np.conj(np.fft.rfft(reference, size))
    best = int(np.fft.irfft(spectrum, size).argmax())
    return best if best < size // 2 else best - size


def refused(path: str | Path, **options: Any) -> str:
    """The message with which a file is refused: one line that begins with the file's name."""
    with pytest.raises(AudioError) as caught:
        read_audio(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{printable(path)}: ")
    assert message.isprintable()
    message.encode("utf-8")
    return message.removeprefix(f"{printable(path)}: ")
