"""Several channels → one: their mean, or, where they cancel each other, with signs that agree.

A microphone or cable with its poles exchanged inverts one channel of a stereo recording; the mean
of the two is then silent.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

MAX_SAMPLE = 2.0**31  # full scale is 1, of unscaled integers 2^31 at most
LOOK_SECONDS = 10.0  # of audio that is not silent, from which the signs are chosen
SILENT = 1e-4  # peak, full scale 1: -80 dB
CANCELLED = 0.05  # of the channels' mean power that is left in their mean, at most


def to_mono(samples: Array) -> Array:
    """(frames, channels) → (frames,)."""
    return samples.mean(axis=1) if samples.shape[1] == 1 else mix(samples, _signs(samples))


def mono_blocks(blocks: Iterable[Array], rate: int) -> Iterator[Array]:
    """Blocks (frames, channels) → blocks (frames,): the signs are those of the first LOOK_SECONDS
    that are not silent; chosen anew where the number of channels changes, as in broadcasts."""
    for _, same in groupby(blocks, lambda block: block.shape[1]):
        waiting: list[Array] = []
        signs: Array | None = None
        for block in same:
            if block.shape[1] == 1:
                yield block[:, 0]
            elif signs is not None:
                yield mix(block, signs)
            elif not waiting and np.abs(block).max(initial=0) < SILENT:
                yield block.mean(axis=1)
            else:
                waiting.append(block)
                if sum(map(len, waiting)) >= LOOK_SECONDS * rate:
                    signs = _signs(np.concatenate(waiting))
                    yield from (mix(each, signs) for each in waiting)
                    waiting.clear()
        if waiting:
            signs = _signs(np.concatenate(waiting))
            yield from (mix(each, signs) for each in waiting)


def mix(samples: Array, signs: Array) -> Array:
    """The mean of each row, which does not depend on the other rows."""
    return np.asarray((samples if signs.min() > 0 else samples * signs).mean(axis=1))


def _signs(samples: Array) -> Array:
    return choose_signs(products_of(samples))


def products_of(samples: Array) -> npt.NDArray[np.float64]:
    """(channels, channels): the sums of products of their samples."""
    return np.asarray(samples.astype(np.float64).T @ samples)


def choose_signs(products: npt.NDArray[np.float64]) -> Array:
    """(channels,): 1 each; where the channels cancel each other, -1 for those whose correlation
    with the first (that is not far below the loudest) is negative."""
    channels = len(products)
    powers = np.diag(products)
    if products.sum() / channels < CANCELLED * powers.sum():
        first = int(np.argmax(powers >= 0.1 * powers.max()))
        return np.where(products[first] < 0, -1, 1).astype(np.float32)
    return np.ones(channels, np.float32)
