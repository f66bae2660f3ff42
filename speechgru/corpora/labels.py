"""Text files with times: Audacity's labels, and the lines of TIMIT and of annotation tools.

Read as plain text, their numbers would be taken for words.
"""

import re
from pathlib import Path

from speechgru.corpora.textgrid import Segment
from speechgru.errors import CorpusError

NUMBER = r"\d+(?:[.,]\d+)?"
LINE = re.compile(rf"({NUMBER})\s+({NUMBER})(?:\s+(.*))?")
CLOCK = re.compile(r"(?<![\d:])\d+:\d\d(:\d\d)?([.,]\d+)?(?![\d:])")
SPECTRAL = "\\"  # at the beginning of Audacity's lines with frequencies
MIN_SAMPLES = 1000  # of a recording in TIMIT
MIN_TIMED = 2  # lines with times, as a transcript of a meeting begins with, that are no format


def read_labels(file: Path, text: str) -> list[Segment] | None:
    """The segments of a text whose lines begin with two times, also those without length; None for
    another text.

    A single line that begins with 0 and a number of samples is the whole file, as in TIMIT. Raises
    CorpusError for times in an unknown unit or format or not in order, and for no label with a
    text.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    lines = [line for line in lines if not line.startswith(SPECTRAL)]
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    seconds = [m[0] for m in found if not m[1].isdecimal() and not m[2].isdecimal()]
    if not lines or len(found) < len(lines):
        timed = max([line for line in lines if CLOCK.search(line)], seconds, key=len)
        if len(timed) > max(MIN_TIMED, len(lines) / 2):
            raise _unknown(file, timed[0])
        return None
    times = [(_seconds(match[1]), _seconds(match[2])) for match in found]
    previous = [(0.0, 0.0), *times[:-1]]
    in_order = [b[0] <= t[0] <= t[1] for b, t in zip(previous, times, strict=True)]
    if not all(in_order):
        if seconds and len(lines) > 1:
            raise CorpusError(
                f"{file}: times that are not in order, at {lines[in_order.index(False)]!r:.60}; "
                "expected the labels of one track: export each track to a file of its own"
            )
        return None
    if len(seconds) == len(lines):
        texts = [(match[3] or "").strip() for match in found]
        segments = [Segment(text, *time) for text, time in zip(texts, times, strict=True) if text]
        if not segments:
            raise CorpusError(f"{file}: no label with a text")
        return segments
    if len(found) == 1 and times[0][0] == 0 and times[0][1] >= MIN_SAMPLES:
        return [Segment(found[0][3] or "")]
    if len(found) > 1:
        raise _unknown(file, lines[0])
    return None


def _unknown(file: Path, line: str) -> CorpusError:
    return CorpusError(
        f"{file}: lines with times in an unknown format, such as {line!r:.60}; expected the text "
        "alone, or START END TEXT with seconds such as 0.5: export it as Praat TextGrid or srt"
    )


def _seconds(number: str) -> float:
    return float(number.replace(",", "."))
