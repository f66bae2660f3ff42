"""Lines of transcript files, and naming a few of many."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from speechgru.errors import ScoringError
from speechgru.files import no_text
from speechgru.misspelt import why_unreadable

TIDIED = "Unicode NFC, white space collapsed; letter case and punctuation count"  # see tidy
SHORT = 60  # characters of an id or a line in a message
NAMED = 3  # ids or lines that a message names before it counts the rest


def tidy(text: str) -> str:
    """The two things, and the only two, that scoring does to either side: Unicode NFC, so that é
    is one character however it was typed, and single spaces between words."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without line feeds. Raises ScoringError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScoringError(f"{path}: cannot be read: {why_unreadable(path, error)}") from None
    if reason := no_text(data):
        raise ScoringError(f"{path}: {reason}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScoringError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8"
        ) from None
    # Only line feeds end a line: str.splitlines would also break at U+2028 and its kind. Or only
    # carriage returns, as on old Macs and in texts copied out of some editors.
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(short(name) for name in names[:NAMED]) + more


def short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
