"""Output formats of transcripts: a function and one line in `FORMATS` each. No torch here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechgru.errors import SpeechgruError, printable

if TYPE_CHECKING:  # brings NumPy, which the help of the command line does without
    from speechgru.decoding import Transcript


def _text(source: Path, transcript: "Transcript") -> str:
    return transcript.text


def _json_line(source: Path, transcript: "Transcript") -> str:
    name = str(source)
    if not name.isprintable():
        try:
            name.encode()
        except UnicodeEncodeError:  # JSON is Unicode; undecodable bytes come escaped
            name = printable(name)
    line = json.dumps({"file": name, **transcript.to_json()}, ensure_ascii=False)
    # escaped where control characters would act on the terminal that shows the line
    return line if line.isprintable() else json.dumps(json.loads(line))


@dataclass(frozen=True, slots=True)
class Format:
    """`render` gives the output of one audio file, without the last newline."""

    render: Callable[[Path, "Transcript"], str]
    names_source: bool = False  # the output contains the name of its audio file


FORMATS = {
    "txt": Format(_text),
    "json": Format(_json_line, names_source=True),
}


def find_format(name: str) -> Format:
    """Raises SpeechgruError for an unknown name."""
    if name not in FORMATS:
        raise SpeechgruError(f"output format {name!r}: expected one of {', '.join(FORMATS)}")
    return FORMATS[name]
