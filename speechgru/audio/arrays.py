"""Arrays of samples from other programs."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgru.audio.mixing import MAX_SAMPLE, to_mono
from speechgru.errors import AudioError

MAX_CHANNELS = 32  # more are samples in the wrong order


def mono(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(n,) or (n, channels), float in [-1, 1] or 16-bit integers → (n,) float32."""
    values = np.asarray(samples)
    if values.dtype == np.int16:
        values = values.astype(np.float32) / 32768
    elif values.dtype.kind != "f":
        raise AudioError(f"samples of type {values.dtype}: expected float in [-1, 1] or int16")
    if values.ndim not in (1, 2) or values.size == 0:
        raise AudioError(f"samples of shape {samples.shape}: expected (n,) or (n, channels), n > 0")
    if values.ndim == 2:
        count, channels = values.shape
        if channels > min(MAX_CHANNELS, count):
            raise AudioError(
                f"samples of shape {samples.shape}: expected (n,) or (n, channels), at most "
                f"{MAX_CHANNELS} channels; pass samples.T if yours are (channels, n)"
            )
        values = to_mono(values)
    largest = float(np.abs(values).max())
    if not math.isfinite(largest):
        raise AudioError("the samples contain NaN or infinity")
    if largest > MAX_SAMPLE:
        raise AudioError(f"samples of up to {largest:.3g}: expected float in [-1, 1] or int16")
    return np.ascontiguousarray(values, dtype=np.float32)
