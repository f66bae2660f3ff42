"""Output formats of transcripts: a function and one line in `FORMATS` each. No torch here.

Libraries are imported by the functions that need them: the help of the command line needs none.
"""

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from speechgru.errors import SpeechgruError, printable

if TYPE_CHECKING:  # brings NumPy
    from speechgru.decoding import Transcript, Word

SCHEMA = "speechgru-transcript-1"  # of JSON; docs/transcripts.md describes it
STM_PAUSE, STM_SECONDS = 0.7, 20.0  # a segment ends at such a pause, and when it is so long
BRACES = str.maketrans("{}", "()")  # subtitle libraries take braces for commands
BACKSLASH = "\ufdd0"  # a noncharacter in place of \, with which commands of pysubs2 begin


@dataclass(frozen=True, slots=True)
class Result:
    """A transcript, its source, and the recording's id: unique, and a part of file names."""

    source: Path
    id: str
    transcript: "Transcript"


@dataclass(frozen=True, slots=True)
class Format:
    """`render` gives the output for one recording, without the last newline.

    names_source: the output of every recording names it, so that several can be printed.
    one_file: the outputs of all recordings are one file, in the order of their ids.
    """

    render: Callable[[Result], str]
    suffix: str
    names_source: bool = False
    one_file: bool = False


def _text(result: Result) -> str:
    return result.transcript.text


def _json_line(result: Result) -> str:
    name = str(result.source)
    if not name.isprintable():
        try:
            name.encode()
        except UnicodeEncodeError:  # JSON is Unicode; undecodable bytes come escaped
            name = printable(name)
    values = {"format": SCHEMA, "file": name, **result.transcript.to_json()}
    line = json.dumps(values, ensure_ascii=False)
    # escaped where control characters would act on the terminal that shows the line
    return line if line.isprintable() else json.dumps(json.loads(line))


def _subtitles(result: Result, kind: str) -> str:
    import pysubs2

    from speechgru.subtitles import make_cues

    file = pysubs2.SSAFile()
    for cue in make_cues(result.transcript.words, result.transcript.duration):
        start, end = round(1000 * cue.start), round(1000 * cue.end)
        event = pysubs2.SSAEvent(start, end)
        text = cue.text.translate(BRACES).replace("\\", BACKSLASH)
        event.plaintext = html.escape(text, quote=False) if kind == "vtt" else text
        file.append(event)
    return str(file.to_string(kind)).replace(BACKSLASH, "\\").rstrip("\n")


def _srt(result: Result) -> str:
    return _subtitles(result, "srt")


def _vtt(result: Result) -> str:
    return _subtitles(result, "vtt")


def _tsv(result: Result) -> str:
    file = io.StringIO()
    table = csv.writer(file, delimiter="\t", lineterminator="\n")
    table.writerow(("start", "end", "word", "confidence"))
    for word in result.transcript.words:
        table.writerow(
            (f"{word.start:.3f}", f"{word.end:.3f}", word.text, _number(word.confidence))
        )
    return file.getvalue().rstrip("\n")


def _textgrid(result: Result) -> str:
    """Praat's format, with a tier of words and one of their confidences."""
    from praatio import textgrid

    words, end = result.transcript.words, max(result.transcript.duration, 0.001)  # Praat needs some
    if words:
        end = max(end, words[-1].end)
    grid = textgrid.Textgrid(0, end)
    labels = {
        "words": [word.text for word in words],
        "confidence": [_number(word.confidence) for word in words],
    }
    for name, column in labels.items():
        entries = [(w.start, w.end, label) for w, label in zip(words, column, strict=True)]
        grid.addTier(textgrid.IntervalTier(name, entries, 0, end))
    with TemporaryDirectory() as folder:
        file = Path(folder, "words.TextGrid")
        grid.save(str(file), "long_textgrid", includeBlankSpaces=True)
        return file.read_text(encoding="utf-8").rstrip("\n")


def _ctm(result: Result) -> str:
    """NIST's: recording, channel, begin, duration, word, confidence."""
    from speechgru.scoring.graph import escape_word

    name = _safe_id(result.id)
    return "\n".join(
        f"{name} 1 {word.start:.3f} {word.end - word.start:.3f} {escape_word(word.text)}"
        + ("" if word.confidence is None else f" {word.confidence:.3f}")
        for word in result.transcript.words
    )


def _stm(result: Result) -> str:
    """NIST's: recording, channel, speaker, begin, end, text; a line per stretch between pauses."""
    from speechgru.scoring.graph import escape_word

    name = _safe_id(result.id)
    lines = [
        f"{name} 1 {name} {words[0].start:.3f} {words[-1].end:.3f} "
        # labels may come before the text, in angle brackets
        + re.sub("^<", "%3C", " ".join(escape_word(word.text) for word in words))
        for words in _stretches(result.transcript.words)
    ]
    return "\n".join(lines or [f"{name} 1 {name} 0.000 {result.transcript.duration:.3f}"])


def _trn(result: Result) -> str:
    from speechgru.scoring.trn import trn_line

    return trn_line(_safe_id(result.id), result.transcript.text)


FORMATS = {
    "txt": Format(_text, "txt"),
    "json": Format(_json_line, "json", names_source=True),
    "srt": Format(_srt, "srt"),
    "vtt": Format(_vtt, "vtt"),
    "tsv": Format(_tsv, "tsv"),
    "textgrid": Format(_textgrid, "TextGrid"),
    "ctm": Format(_ctm, "ctm", names_source=True, one_file=True),
    "stm": Format(_stm, "stm", names_source=True, one_file=True),
    "trn": Format(_trn, "trn", names_source=True, one_file=True),
}


def find_formats(names: str) -> dict[str, Format]:
    """ "srt,json" → those formats by name. Raises SpeechgruError for an unknown name."""
    found = {name.strip().lower(): name for name in names.split(",") if name.strip()}
    if unknown := [given for name, given in found.items() if name not in FORMATS]:
        raise SpeechgruError(
            f"output format {unknown[0].strip()!r}: expected one of {', '.join(FORMATS)}, or "
            "several with commas"
        )
    if not found:
        raise SpeechgruError(f"no output format: expected one of {', '.join(FORMATS)}")
    return {name: FORMATS[name] for name in found}


def join_outputs(outputs: Sequence[tuple[str, str]]) -> str:
    """(id, output) of every recording → one file, sorted by id as NIST's tools expect it."""
    lines = [
        output for _, output in sorted(outputs, key=lambda pair: pair[0].encode("utf-8", "replace"))
    ]
    return "".join(f"{output}\n" for output in lines if output)


def _number(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.3f}"


def _safe_id(name: str) -> str:
    from speechgru.scoring.trn import safe_id

    return safe_id(name)


def _stretches(words: Sequence["Word"]) -> Iterator[Sequence["Word"]]:
    first = 0
    for number in range(1, len(words) + 1):
        if number < len(words):
            pause = words[number].start - words[number - 1].end
            long = words[number].end - words[first].start > STM_SECONDS
            if pause < STM_PAUSE and not long:
                continue
        yield words[first:number]
        first = number
