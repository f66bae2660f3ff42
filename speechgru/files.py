"""Writing files whole or not at all, finding them, and naming any file in one line."""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from speechgru.errors import SpeechgruError


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Put `data` (text as UTF-8) at `path`: readers see the old file or the new one, never a part.

    Temp file in the same folder + fsync + rename; missing folders are made, a symbolic link is
    followed. After any failure, Ctrl-C included, the temp file is gone and the old file stands.
    A device or a pipe is written to, not replaced, and so is /dev/stdout when a shell has sent it
    to a file. Raises OSError.
    """
    data = data.encode("utf-8") if isinstance(data, str) else data
    if os.path.exists(path) and (Path("/dev") in Path(path).parents or not os.path.isfile(path)):
        with open(path, "ab") as stream:  # "ab": what the program printed before stays
            stream.write(data)
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with open(temp, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temp.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write_json(path: str | Path, values: object) -> None:
    """`values` as indented JSON, atomically. Raises SpeechgruError when it cannot be written."""
    try:
        atomic_write(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    except OSError as fault:
        raise SpeechgruError(f"{shown(path)}: cannot be written: {fault.strerror}") from None


def shown(path: str | Path) -> str:
    """The path as one printable line: newlines, control and undecodable bytes come escaped.

    >>> shown("a b.wav"), shown("two\\nlines.wav")
    ('a b.wav', 'two\\\\nlines.wav')
    """
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def files_below(folder: Path, on_fault: Callable[[OSError], object]) -> Iterator[Path]:
    """Every file in a folder and those below it; a folder met again through a link is skipped, one
    that cannot be searched goes to `on_fault`."""
    seen = {os.path.realpath(folder)}
    for root, folders, names in os.walk(folder, onerror=on_fault, followlinks=True):
        real = {name: os.path.realpath(os.path.join(root, name)) for name in sorted(folders)}
        folders[:] = [name for name, path in real.items() if path not in seen]
        seen.update(real.values())
        yield from (Path(root, name) for name in sorted(names))
