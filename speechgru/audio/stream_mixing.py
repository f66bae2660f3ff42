"""Several channels of a stream → one, as they arrive."""

import numpy as np

from speechgru.audio.mixing import LOOK_SECONDS, SILENT, Array, choose_signs, mix, products_of

BLOCK_SECONDS = 0.1  # after which the signs may change


class StreamMixer:
    """Several channels of a stream → one, whatever its pieces: in blocks of BLOCK_SECONDS, each
    with the signs chosen from all audio up to its end, of which at most LOOK_SECONDS count."""

    def __init__(self, rate: int, channels: int) -> None:
        self.channels = channels
        self._block = max(1, round(BLOCK_SECONDS * rate))
        self._left = LOOK_SECONDS * rate  # samples that may change the signs
        self._products = np.zeros((channels, channels))
        self._signs = np.ones(channels, np.float32)
        self._waiting = np.empty((0, channels), np.float32)

    def mix(self, samples: Array) -> Array:
        """(n, channels) → (m,): the blocks that are complete; a single channel at once."""
        if self.channels == 1:
            return samples[:, 0]
        samples = np.concatenate([self._waiting, samples])
        whole = len(samples) // self._block * self._block
        self._waiting = samples[whole:]
        blocks = [samples[i : i + self._block] for i in range(0, whole, self._block)]
        return np.concatenate([np.empty(0, np.float32), *map(self._mix_block, blocks)])

    def flush(self) -> Array:
        """What is left at the end of the stream."""
        rest, self._waiting = self._waiting, self._waiting[:0]
        return self._mix_block(rest)

    def _mix_block(self, block: Array) -> Array:
        if self._left > 0 and np.abs(block).max(initial=0) >= SILENT:
            self._left -= len(block)
            self._products += products_of(block)
            self._signs = choose_signs(self._products)
        return mix(block, self._signs)
