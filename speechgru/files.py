"""Atomic writes, JSON files, folder locks, searching folders."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from speechgru.errors import SpeechgruError, reason_of

T = TypeVar("T")
Json = dict[str, Any]  # a JSON object; its values are checked where they are read
LOCK_TIMEOUT = 5.0  # seconds; a killed process may take a moment to release its lock
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # file systems that cannot lock


def atomic_write(
    path: str | Path, data: bytes | str, error: type[SpeechgruError] = SpeechgruError
) -> None:
    """Write `data` to `path`; readers see the old or the new file, never a part. Text is written as
    UTF-8; what that cannot encode, such as bytes of a file name, is escaped as in JSON.

    Writes a temp file in the same folder, syncs it and renames it. Creates missing folders and
    follows a symbolic link. If writing fails or is interrupted, the temp file is removed and the
    old file is unchanged. Raises `error` when the file cannot be written.
    """
    data = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    check_writable(path, error)
    try:
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
    except (OSError, ValueError) as reason:  # ValueError: a null character in the path
        raise error(f"{path}: cannot be written: {reason_of(reason)}") from None
    with contextlib.suppress(OSError):  # so that the rename survives a power failure
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_writable(path: str | Path, error: type[SpeechgruError] = SpeechgruError) -> None:
    """Raise `error` if `atomic_write` could not write this file: to be called before long work."""
    target = os.path.realpath(path) if "\0" not in str(path) else str(path)
    if os.path.exists(target) and not os.path.isfile(target):
        kind = "a folder" if os.path.isdir(target) else "a device or pipe"
        raise error(f"{path}: cannot be written: it is {kind}; give the path of a file")
    _check_parent(path, Path(target), error)


def check_folder(path: str | Path, error: type[SpeechgruError] = SpeechgruError) -> None:
    """Raise `error` if this folder, which need not exist, could not be written to."""
    _check_parent(path, Path(os.path.realpath(path), "file"), error)


def _check_parent(path: str | Path, target: Path, error: type[SpeechgruError]) -> None:
    """Raise `error` unless missing folders above `target` can be made, and a file in the last."""
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(target)  # fails for a name that is too long
        parent = next(each for each in target.parents if os.path.lexists(each))
    except (OSError, ValueError) as reason:  # ValueError: a null character in the path
        raise error(f"{path}: cannot be written: {reason_of(reason)}") from None
    if not os.path.isdir(parent):
        raise error(f"{path}: cannot be written: {parent} is a file; expected a folder")
    if not os.access(parent, os.W_OK):
        raise error(f"{path}: cannot be written: no permission to write in {parent}")


def write_json(
    path: str | Path, values: object, error: type[SpeechgruError] = SpeechgruError
) -> None:
    """Write `values` as indented JSON, atomically. Raises `error` when it cannot be written."""
    atomic_write(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n", error)


_BEGINNINGS = {  # of files that are given as text by mistake
    b"\x1f\x8b": "compressed with gzip; decompress it",
    **dict.fromkeys((b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), "compressed; decompress it"),
    b"PK\x03\x04": "a zip archive or office document; export it as plain text",
    b"\xd0\xcf\x11\xe0": "an office document; export it as plain text",
    b"%PDF": "a PDF document; export it as plain text",
    b"{\\rtf": "rich text (RTF); save it as plain text",
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), "UTF-16, not UTF-8; save it as UTF-8"),
}
_AUDIO = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3")  # null bytes follow: RIFF is a word


def no_text(data: bytes) -> str | None:
    """What a file that begins with `data` is, and what to do, if it cannot be plain UTF-8 text;
    None where it may be."""
    for beginning, reason in _BEGINNINGS.items():
        if data.startswith(beginning):
            return reason
    if b"\0" in data[:1000]:
        binary = "a binary file or UTF-16, not UTF-8 text; save it as UTF-8"
        return "audio, not text" if data.startswith(_AUDIO) else binary
    return None


def read_json(path: str | Path, what: str) -> Json:
    """The JSON object in a file. `what` describes the expected file, such as "a comparison plan".

    Raises SpeechgruError: no such file, unreadable, not JSON, not an object.
    """
    try:
        values = json.loads(Path(path).read_bytes())
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, found {values!r:.40}")
    except FileNotFoundError:
        raise SpeechgruError(f"{path}: no such file; expected {what}") from None
    except (OSError, ValueError, RecursionError) as reason:
        raise SpeechgruError(f"{path}: cannot be read as {what}: {reason_of(reason)}") from None
    return values


def read_dataclass(
    path: str | Path,
    kind: type[T],
    what: str,
    newest: str,
    migrate: Callable[[Json], Json],
) -> T:
    """A JSON file as a dataclass, its values checked. `migrate` renames the keys of a file whose
    `format` is not the `newest`. Raises SpeechgruError: no such file, or a damaged one."""
    from pydantic import TypeAdapter

    values = read_json(path, what)
    try:
        values = values if values.get("format") == newest else migrate(values)
        return TypeAdapter(kind).validate_python(values)
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        found = f"{type(reason).__name__}: {reason_of(reason)}"
        raise SpeechgruError(f"{path}: expected {what}; {found:.200}") from None


@contextlib.contextmanager
def exclusive_lock(folder: Path, command: str) -> Iterator[None]:
    """Lock a folder, created if missing, against other processes running the same `command`.

    Raises SpeechgruError when another process still has the lock after LOCK_TIMEOUT, or when the
    folder cannot be written. On a file system without locks, nothing is locked.
    """
    lock = FileLock(folder / ".lock", timeout=LOCK_TIMEOUT, mode=0o666, thread_local=False)
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise SpeechgruError(
            f"{folder}: in use by another `{command}`; wait for it to finish, or stop it"
        ) from None
    except OSError as reason:
        if reason.errno not in NO_LOCKS:
            raise SpeechgruError(f"{folder}: cannot be written: {reason_of(reason)}") from None
    try:
        yield
    finally:
        lock.release()


def files_below(folder: Path, on_error: Callable[[OSError], object]) -> Iterator[Path]:
    """Every file in a folder and its subfolders, sorted by name within each folder, except hidden
    ones: names that begin with a dot, such as the ._x files that macOS writes beside every x.

    Follows symbolic links, but visits each folder once. A folder that cannot be listed is passed
    to `on_error`.
    """
    seen = {os.path.realpath(folder)}
    for root, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        shown = sorted(name for name in folders if name[0] != ".")
        real = {name: os.path.realpath(os.path.join(root, name)) for name in shown}
        folders[:] = [name for name, path in real.items() if path not in seen]
        seen.update(real.values())
        yield from (Path(root, name) for name in sorted(names) if name[0] != ".")
