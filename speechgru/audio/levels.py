"""How loud audio is over time."""

import numpy as np
import numpy.typing as npt

SILENCE_DB = -120.0  # the level of digital zero


def frame_levels(samples: npt.NDArray[np.float32], hop: int) -> npt.NDArray[np.float32]:
    """(samples,) → (max(1, samples // hop),) float32: the level of every `hop` samples in dBFS, at
    least SILENCE_DB: the root mean square after subtracting the mean, which is a recorder's offset.
    Samples after the last complete `hop` are not used, unless there is none."""
    count = len(samples) // hop
    rows = samples[: count * hop].reshape(count, hop) if count else samples[None]
    power = rows.var(axis=1, dtype=np.float64)
    levels: npt.NDArray[np.float64] = 10 * np.log10(power + 10 ** (SILENCE_DB / 10))
    return levels.astype(np.float32)
