"""A text file in any encoding → its text.

A byte order mark decides, then UTF-8 if the file is valid UTF-8. Otherwise the file is in an older
encoding, which has to be guessed from the bytes; the guess is reported, never silent.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from speechgru.errors import CorpusError

MAX_BYTES = 2_000_000_000
SAMPLE = 200_000  # bytes that a guess looks at
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
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
    """A text with \\n as its line ends. `guessed`: the encoding if the file did not settle it."""

    text: str
    guessed: str | None = None

    def note(self, file: Path) -> str | None:
        """What to check if the encoding was guessed."""
        if self.guessed is None:
            return None
        words = [word for word in re.findall(r"\w+", self.text) if not word.isascii()]
        return (
            f"encoding: {file.name} is not UTF-8; read as {self.guessed}: check "
            f"{', '.join(list(dict.fromkeys(words))[:5])}"
        )


def read_text(file: Path) -> TextFile:
    """Raises CorpusError: unreadable, over MAX_BYTES, binary, or in no known encoding."""
    try:
        if (size := file.stat().st_size) > MAX_BYTES:
            raise CorpusError(f"{file}: {size:,} bytes; expected a text file of less: split it")
        data = file.read_bytes()
    except OSError as error:
        raise CorpusError(f"{file}: cannot be read: {error.strerror}") from None
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    guessed = None
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        data = data.removeprefix(codecs.BOM_UTF8)  # a mark that the rest does not keep to
        guessed = None if encoding == "utf-16" else _guess(data[:SAMPLE])
        if guessed is None or b"\0" in data[:SAMPLE]:
            raise CorpusError(
                f"{file}: not a text file ({error.reason}); save it as UTF-8"
            ) from None
        text = data.decode(guessed, errors="replace")
    return TextFile(text.replace("\r\n", "\n").replace("\r", "\n"), guessed)


def _guess(data: bytes) -> str | None:
    """cp1252 if all its characters are those of western languages, else charset-normalizer's."""
    try:
        if {char for char in data.decode(WESTERN) if not char.isascii()} <= WESTERN_CHARACTERS:
            return WESTERN
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes

    best = from_bytes(data, cp_isolation=OLDER).best()
    return best.encoding if best else None
