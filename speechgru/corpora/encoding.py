"""A text file in any encoding → its text.

A byte order mark decides, then UTF-8 if the file is valid UTF-8. Otherwise the file, or the few
lines that are not valid, are in an older encoding, which has to be guessed from the bytes; the
guess is reported, never silent, and so is UTF-16 without a mark.
"""

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from speechgru.corpora.common import examples
from speechgru.errors import CorpusError

MAX_BYTES = 2_000_000_000
SAMPLE = 200_000  # bytes that a guess looks at
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CONTROL = re.compile(r"[\0-\x08\x0e-\x1f]")
WESTERN = "cp1252"
WESTERN_CHARACTERS = frozenset(
    "àâäáãåæçéèêëíìîïñóòôöõøœßúùûüýÿ"
    + "ÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜÝŸ"
    + "„“”‚‘’–—…«»€§°¿¡·ªº©®\xa0"
)
OLDER = [
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("gb18030", "big5", "shift_jis", "euc_kr"),
]  # what the guess chooses from


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text with \\n as its line ends. `guessed`: the encoding if the file did not settle it; if
    that is the encoding of a few `lines` only, these by number."""

    text: str
    guessed: str | None = None
    lines: dict[int, str] = field(default_factory=dict)

    def notes(self, file: Path) -> list[str]:
        """What to check if the encoding was guessed."""
        if self.guessed is None:
            return []
        where = f" in line {examples(list(self.lines))}" if self.lines else ""
        text = "\n".join(self.lines.values()) or self.text
        words = [word for word in re.findall(r"\w+", text) if not word.isascii()]
        return [
            f"encoding: {file.name} is not UTF-8{where}; read as {self.guessed}: check "
            f"{', '.join(list(dict.fromkeys(words))[:5])}"
        ]


def read_text(file: Path, likely: str | None = None) -> TextFile:
    """`likely`: the encoding of what is not UTF-8, unless it does not fit; None: it is guessed.

    Raises CorpusError: unreadable, over MAX_BYTES, binary, or in no known encoding.
    """
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise CorpusError(f"{file}: {size:,} bytes; expected a text file of less: split it")
        data = file.read_bytes()
    except OSError as error:
        raise CorpusError(f"{file}: cannot be read: {error.strerror}") from None
    mark = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    unmarked = None if mark else _utf_16(data[:SAMPLE])
    encoding = mark or unmarked or "utf-8"
    try:
        return TextFile(_with_newlines(data.decode(encoding)), unmarked)
    except UnicodeDecodeError as error:
        found = None
        if not encoding.startswith("utf-16") and b"\0" not in data[:SAMPLE]:
            found = _older(data.removeprefix(codecs.BOM_UTF8), likely)
        if found is None:
            raise CorpusError(
                f"{file}: not a text file ({error.reason}); save it as UTF-8"
            ) from None
        return found


def guess_together(files: Iterable[Path]) -> str | None:
    """The encoding of the lines of files that are not UTF-8, each of which may be too short for a
    guess, by the first SAMPLE bytes; None if all are UTF-8, or if no encoding fits."""
    lines: list[bytes] = []
    size = 0
    for file in files:
        try:
            with file.open("rb") as stream:
                data = stream.read(SAMPLE)
        except OSError:  # reported by those that read it
            continue
        if len(data) == SAMPLE:
            data = data[: data.rfind(b"\n") + 1]  # without the part of a line
        if not data.startswith(tuple(MARKS)) and b"\0" not in data:
            lines += [line for line in data.splitlines() if not _is_utf_8(line)]
            size += len(data)
        if size > SAMPLE and lines:
            break
    return _guess(b"\n".join(lines)) if lines else None


def encoding_notes(files: Iterable[Path]) -> list[str]:
    """What to check in the files whose encoding was guessed."""
    return [note for file in files for note in read_text(file).notes(file)]


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _utf_16(sample: bytes) -> str | None:
    """UTF-16 without a mark, in its byte order; None for another encoding. In an alphabet, every
    second byte is that of the same few blocks of Unicode, which are all below 0x20."""
    if not CONTROL.search(sample.decode("latin-1")):
        return None
    for encoding, blocks in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        text = sample.decode(encoding, errors="replace")
        if 2 * sum(byte < 0x20 for byte in blocks) > len(blocks) and not CONTROL.search(text):
            return encoding
    return None


def _older(data: bytes, likely: str | None) -> TextFile | None:
    """A text that is not UTF-8, or in which fewer lines are not than are, besides those of ASCII
    alone: hardly a line in another encoding is valid UTF-8. None if no encoding fits."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    wrong = {n: line for n, line in enumerate(lines, start=1) if not _is_utf_8(line)}
    if 2 * len(wrong) < sum(not line.isascii() for line in lines):
        guessed = _guess(b"\n".join(wrong.values())[:SAMPLE], likely) or WESTERN
        right = {n: line.decode(guessed, errors="replace") for n, line in wrong.items()}
        decoded = (right.get(n) or line.decode() for n, line in enumerate(lines, start=1))
        return TextFile("\n".join(decoded), guessed, right)
    if (whole := _guess(data[:SAMPLE], likely)) is None:
        return None
    return TextFile(_with_newlines(data.decode(whole, errors="replace")), whole)


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guess(data: bytes, likely: str | None = None) -> str | None:
    """The `likely` encoding if it fits; cp1252 if all its characters are those of western
    languages; else charset-normalizer's."""
    try:
        if likely is not None and data.decode(likely):
            return likely
    except UnicodeDecodeError:
        pass
    try:
        if {char for char in data.decode(WESTERN) if not char.isascii()} <= WESTERN_CHARACTERS:
            return WESTERN
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    best = from_bytes(data, cp_isolation=OLDER).best()
    return best.encoding if best else None
