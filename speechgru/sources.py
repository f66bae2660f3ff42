"""What can be transcribed: paths, manifest utterances, arrays, bytes, open files → samples.

Design choices:
- Blocks, not whole recordings: a file of hours is never in memory, and what reads the blocks may
  copy them.
- Bytes and open files are copied to a temporary file, as the readers of audio need one.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from speechgru.audio import Samples, iter_audio, resample
from speechgru.audio.arrays import check_rate, mono
from speechgru.batches import AudioCache
from speechgru.errors import AudioError
from speechgru.manifest import Utterance


@runtime_checkable
class Readable(Protocol):
    """A file opened in binary mode."""

    def read(self, size: int = -1, /) -> bytes: ...


BLOCK = 1 << 16  # samples of an array
Source = str | Path | Utterance | npt.NDArray[Any] | bytes | BinaryIO


def read_blocks(source: Source, rate: int, cache: AudioCache | None = None) -> Iterator[Samples]:
    """The samples of a source, (n,) float32 at `rate` Hz each, an array's being at that rate.

    Raises AudioError for a source without audio, some of it only when the end is reached.
    """
    if isinstance(source, Utterance):
        if cache is not None:
            yield from _divided(cache.read(source))
        else:
            yield from iter_audio(source.audio, rate, source.offset, source.duration)
    elif isinstance(source, np.ndarray):
        yield from _divided(mono(source))
    elif isinstance(source, str | os.PathLike):
        yield from iter_audio(source, rate)
    elif isinstance(source, bytes | bytearray | memoryview | Readable):
        yield from _copied(source, rate)
    else:
        raise AudioError(
            f"a {type(source).__name__}: expected a path, an Utterance, a NumPy array of samples, "
            "the bytes of an audio file or a file opened in binary mode (convert a torch tensor "
            "with tensor.numpy(), a list with numpy.array(list))"
        )


def _divided(samples: Samples) -> Iterator[Samples]:
    for first in range(0, len(samples), BLOCK):
        yield samples[first : first + BLOCK]


def to_rate(samples: npt.NDArray[Any], rate: int, wanted: int) -> Samples:
    """An array at another rate, as `mono` returns it. Raises AudioError."""
    check_rate(rate)
    return resample(mono(samples), rate, wanted)


def _copied(source: bytes | bytearray | memoryview | Readable, rate: int) -> Iterator[Samples]:
    name = getattr(source, "name", None)
    shown = name if isinstance(name, str) else f"<{type(source).__name__}>"
    with TemporaryDirectory() as folder:
        path = Path(folder, "audio")
        with path.open("wb") as file:
            if isinstance(source, bytes | bytearray | memoryview):
                file.write(source)
            else:
                try:
                    shutil.copyfileobj(source, file)
                except TypeError:
                    raise AudioError(
                        f"{shown}: opened in text mode; expected binary mode"
                    ) from None
                if not file.seek(0, os.SEEK_CUR):
                    raise AudioError(
                        f"{shown}: nothing to read; if it has been written or read, call seek(0) "
                        "first",
                        "empty",
                    )
        try:
            yield from iter_audio(path, rate)
        except AudioError as error:
            message = error.args[0].replace(str(path), shown)
            raise type(error)(message, *error.args[1:]) from None
