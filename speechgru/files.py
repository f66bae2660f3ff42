"""Writing files whole or not at all, finding them, and naming any file in one line."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from speechgru.errors import SpeechgruError

LOCK_PATIENCE = 5.0  # seconds; a killed process may take some to be gone


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Put `data` (text as UTF-8) at `path`: readers see the old file or the new one, never a part.

    Temp file in the same folder + fsync + rename; missing folders are made, a symbolic link is
    followed. After any failure, Ctrl-C included, the temp file is gone and the old file stands.
    A device or a pipe is written to, not replaced, and so is /dev/stdout when a shell has sent it
    to a file. Raises OSError.
    """
    data = data.encode("utf-8") if isinstance(data, str) else data
    if os.path.exists(path) and (not os.path.isfile(path) or _is_own_output(path)):
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


def _is_own_output(path: str | Path) -> bool:
    """Whether this is the very file that our standard output or error goes to."""
    there = os.stat(path)
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):  # closed
            if os.path.samestat(there, os.fstat(descriptor)):
                return True
    return False


def write_json(path: str | Path, values: object) -> None:
    """`values` as indented JSON, atomically. Raises SpeechgruError when it cannot be written."""
    try:
        atomic_write(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    except OSError as fault:
        raise SpeechgruError(f"{path}: cannot be written: {fault.strerror}") from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # there are no locks here
        return True
    return True


@contextlib.contextmanager
def exclusive_lock(folder: Path, command: str) -> Iterator[None]:
    """While open, no other process that asks for the same is at work in the folder, which is made.

    Raises SpeechgruError when one is (`command` tells which) and stays there for LOCK_PATIENCE, and
    when the folder cannot be written. A file system without locks is trusted.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except FileExistsError:
        raise SpeechgruError(f"{folder}: expected a folder, found a file") from None
    except OSError as fault:
        raise SpeechgruError(f"{folder}: cannot be written: {fault.strerror}") from None
    try:
        deadline = time.monotonic() + LOCK_PATIENCE
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise SpeechgruError(f"{folder}: another `{command}` is at work there; wait for it")
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


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
