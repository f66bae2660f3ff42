"""Paths that do not exist, and what may be meant by them."""

import functools
import os
import re
import unicodedata
from pathlib import Path

from speechgru.errors import reason_of


def similar_path(path: str | Path) -> tuple[str | None, str]:
    """What a path that does not exist may mean: the same path in the other Unicode form (é as one
    character or two) or without Windows' separators, if that exists; else a hint, empty or such as
    "; there is A.wav, in another letter case"."""
    text = str(path)
    if "\0" in text:
        return None, ""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,2}[^/]", text):
        return None, "; it is a URL: download it and give the path of the file"
    if os.path.islink(path):
        target = os.readlink(path)
        annex = "; run `git annex get`" if ".git/annex" in target else ""
        return None, f" behind this link, which leads to {target}{annex}"
    wanted = text if os.sep == "\\" else text.replace("\\", "/")
    parts = Path(wanted).parts
    found = "" if not os.path.isabs(wanted) else parts[0]
    for part in parts[1:] if found else parts:
        exact = os.path.join(found, part)
        found = exact if os.path.exists(exact) else _entry_like(found, part)
        if not found:
            windows = wanted != text and re.search(r"(?:^|[\\/])[A-Za-z]:\\", text)
            return None, "; it is a path of Windows" if windows else _compressed(wanted)
    if not found:
        return None, ""
    if _composed(found) == _composed(str(Path(wanted))):
        return found, ""
    return None, f"; there is {found}, in another letter case"


def why_unreadable(path: str | Path, error: OSError) -> str:
    """The system's reason, and what a path that does not exist may mean."""
    hint = similar_path(path)[1] if isinstance(error, FileNotFoundError) else ""
    return f"{reason_of(error)}{hint}"


def _compressed(path: str) -> str:
    """A hint at the same file, compressed or not."""
    other = path.removesuffix(".gz") if path.endswith(".gz") else f"{path}.gz"
    return f"; there is {other}" if os.path.isfile(other) else ""


def _entry_like(folder: str, name: str) -> str:
    """The only entry of a folder that differs from a name in Unicode form or letter case alone, one
    in the same letter case first; empty if there is none."""
    listed = folder or "."
    try:
        spellings = _spellings(listed, os.stat(listed).st_mtime_ns)
    except (OSError, ValueError):  # ValueError: a null character
        return ""
    alike = spellings.get(_folded(name), [])
    same_case = [entry for entry in alike if _composed(entry) == _composed(name)]
    found = same_case or alike
    return os.path.join(folder, found[0]) if len(found) == 1 else ""


@functools.lru_cache(4)
def _spellings(folder: str, changed: int) -> dict[str, list[str]]:
    """The entries of a folder, last `changed` at that time, by what they are without letter case:
    listed once, as thousands of its files may be missing."""
    entries: dict[str, list[str]] = {}
    for entry in os.listdir(folder):
        entries.setdefault(_folded(entry), []).append(entry)
    return entries


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return _composed(_composed(text).casefold())
