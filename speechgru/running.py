"""Normalisation by the audio so far: level, noise floor and statistics of the speech frames.

For streams: frame t depends on frames 0 to t only, and `Running` continues from one piece of a
recording to the next with the same values, bit for bit, as for the whole.

- The level is the loudest sustained power (median of SUSTAINED frames) of the last SECONDS. It
  falls only so far: to FLOOR_MARGIN_DB above the noise floor, so that noise before the first word
  is not taken for speech, and to FAINTEST_DB. No frame is louder than its own level.
- The noise floor is the faintest frame of the last SECONDS.
- Mean and deviation are over speech frames, the last MEMORY of them with exponential weights,
  and `prior` frames like the training set's.
"""

import numpy as np
import numpy.typing as npt

from speechgru.jit import compiled, inner

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

SECONDS = 3.0
SUSTAINED = 5  # frames; clicks are shorter
SILENCE_DB = -80.0  # dBFS; digital silence counts as this
FAINTEST_DB = -60.0  # dBFS; the lowest level
TYPICAL_DB = -30.0  # dBFS; the noise floor alone never raises the level above this
FLOOR_MARGIN_DB = 20.0
MEMORY = 3000.0  # speech frames: 30 s


class Running:
    """The state at one point of a recording."""

    def __init__(self, size: int, frames_per_second: float) -> None:
        self.powers = np.zeros(max(SUSTAINED, round(SECONDS * frames_per_second)))  # dB, a ring
        self.peaks = np.zeros(len(self.powers))  # the sustained power at the same frames
        self.frames = 0
        self.sums = np.zeros((3, size))  # weights, weighted values, weighted squares

    def levels(self, energy: Floats) -> tuple[Floats, Floats]:
        """Mean powers of the next frames, (frames,) relative to full scale → their levels and noise
        floors in dBFS, (frames,) each."""
        levels, floors = np.empty(len(energy), np.float32), np.empty(len(energy), np.float32)
        _follow(energy, self.powers, self.peaks, self.frames, levels, floors)
        self.frames += len(energy)
        return levels, floors

    def statistics(
        self, features: Floats, weights: Floats, prior: Doubles
    ) -> tuple[Floats, Floats]:
        """Mean and deviation at each of the next frames, (frames, size) each, from their values
        (frames, size) and weights (frames,). `prior` (3, size) is added to the sums."""
        mean, std = np.empty_like(features), np.empty_like(features)
        _accumulate(features, weights, prior, self.sums, mean, std)
        return mean, std


@compiled
def _follow(
    energy: Floats, powers: Doubles, peaks: Doubles, frame: int, levels: Floats, floors: Floats
) -> None:
    size = len(powers)
    for t in range(len(energy)):
        powers[frame % size] = max(10 * np.log10(energy[t] + 1e-30), SILENCE_DB)
        peaks[frame % size] = _sustained(powers, frame)
        frame += 1
        level, floor = FAINTEST_DB, np.inf
        for i in range(min(frame, size)):
            level, floor = max(level, peaks[i]), min(floor, powers[i])
        level = max(level, min(floor + FLOOR_MARGIN_DB, TYPICAL_DB))
        levels[t] = max(level, powers[(frame - 1) % size])
        floors[t] = floor


@inner
def _sustained(powers: Doubles, frame: int) -> float:
    """The median of the last SUSTAINED powers; of fewer at the start, the lower one."""
    count = min(frame + 1, SUSTAINED)
    last = np.empty(count)
    for i in range(count):
        last[i] = powers[(frame - i) % len(powers)]
    last.sort()
    return float(last[(count - 1) // 2])


@compiled
def _accumulate(
    features: Floats, weights: Floats, prior: Doubles, sums: Doubles, mean: Floats, std: Floats
) -> None:
    for t in range(len(features)):
        kept, weight = 1 - weights[t] / MEMORY, weights[t]
        for i in range(features.shape[1]):
            value = np.float64(features[t, i])
            sums[0, i] = kept * sums[0, i] + weight
            sums[1, i] = kept * sums[1, i] + weight * value
            sums[2, i] = kept * sums[2, i] + weight * value * value
            count = sums[0, i] + prior[0, i]
            centre = (sums[1, i] + prior[1, i]) / count
            spread = (sums[2, i] + prior[2, i]) / count - centre * centre
            mean[t, i], std[t, i] = centre, np.sqrt(max(spread, 0.0))
