"""FFmpeg's samples as arrays."""

from typing import Any

import numpy as np

from speechgru.audio.readers.interface import Block, Unreadable

MAX_PLANES = 8  # FFmpeg's AV_NUM_DATA_POINTERS; PyAV reads outside of the memory of more


def to_block(frame: Any) -> Block:
    """A decoded frame as (frames, channels) float32, integers scaled to [-1, 1). Raises Unreadable
    for a format that NumPy does not have and for too many channels."""
    channels = len(frame.layout.channels)
    if frame.format.is_planar and channels > MAX_PLANES:
        raise Unreadable(f"{channels} channels in one track; expected at most {MAX_PLANES}")
    try:
        values = frame.to_ndarray()
    except ValueError:
        raise Unreadable(f"samples in the format {frame.format.name} are not supported") from None
    block = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if block.dtype == np.uint8:
        block = block.astype(np.float32) - 128
        return np.asarray(block / 128, dtype=np.float32)
    if block.dtype.kind == "i":
        block = block / np.float32(1 << (8 * block.dtype.itemsize - 1))
    return np.asarray(block, dtype=np.float32)
