"""Parts of a file, and bytes, as one file: a link of a chained Ogg, the data chunks of a WAV."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from io import FileIO
from itertools import accumulate
from typing import Any


class FileParts(io.RawIOBase):
    """For reading. `parts` are ranges of the file's bytes, or bytes; closing it closes nothing."""

    def __init__(self, file: "FileIO | FileParts", parts: Sequence[bytes | range]) -> None:
        self._file = file
        self._parts = [part for part in parts if len(part)]
        self._starts = list(accumulate(map(len, self._parts), initial=0))
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._position, self._starts[-1])[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer except at the end: libsndfile takes less for the end of the file."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._position < self._starts[-1]:
            index = bisect_right(self._starts, self._position) - 1
            part, offset = self._parts[index], self._position - self._starts[index]
            count = min(len(view) - done, len(part) - offset)
            if isinstance(part, range):
                self._file.seek(part.start + offset)
                count = self._file.readinto(view[done : done + count]) or 0
                if not count:  # the file has become shorter
                    break
            else:
                view[done : done + count] = part[offset : offset + count]
            done += count
            self._position += count
        return done
