"""Arrays of samples from other programs."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgru.audio.loading import MAX_RATE, MIN_RATE
from speechgru.audio.mixing import MAX_SAMPLE, to_mono
from speechgru.errors import AudioError

MAX_CHANNELS = 32  # more are samples in the wrong order


def check_rate(rate: int) -> None:
    """Raises AudioError for a sample rate, in Hz, that audio does not have."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"a sample rate of {rate} Hz: expected {MIN_RATE} to {MAX_RATE}")


def mono(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(n,) or (n, channels), float in [-1, 1] or 16-bit integers → (n,) float32."""
    if np.ndim(samples) == 2 and len(samples) < np.shape(samples)[1]:
        raise _wrong_shape(samples)
    return np.ascontiguousarray(to_mono(channels_of(samples)), dtype=np.float32)


def channels_of(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The same → (n, channels). Raises AudioError for other types and shapes, and for NaN."""
    if isinstance(samples, bytes | bytearray):
        raise AudioError(
            f"samples as {type(samples).__name__}: expected a NumPy array, as 16-bit samples are "
            "with numpy.frombuffer(data, numpy.int16)"
        )
    values = np.asarray(samples)
    if values.dtype.newbyteorder("=") == np.int16:  # of either byte order
        values = values.astype(np.float32) / 32768
    elif values.dtype.kind != "f":
        raise AudioError(f"samples of type {values.dtype}: expected float in [-1, 1] or int16")
    if values.ndim not in (1, 2) or values.size == 0:
        raise AudioError(f"samples of shape {values.shape}: expected (n,) or (n, channels), n > 0")
    if values.ndim == 2 and values.shape[1] > MAX_CHANNELS:
        raise _wrong_shape(values)
    largest = float(np.abs(values).max())
    if not math.isfinite(largest):
        raise AudioError("the samples contain NaN or infinity")
    if largest > MAX_SAMPLE:
        raise AudioError(f"samples of up to {largest:.3g}: expected float in [-1, 1] or int16")
    return values.reshape(len(values), -1).astype(np.float32)


def _wrong_shape(samples: npt.NDArray[Any]) -> AudioError:
    return AudioError(
        f"samples of shape {np.shape(samples)}: expected (n,) or (n, channels), at most "
        f"{MAX_CHANNELS} channels; pass samples.T if yours are (channels, n)"
    )
