"""Text files with times: Audacity's labels, and the lines of TIMIT and of annotation tools.

Read as plain text, their numbers would be taken for words.
"""

import re
from pathlib import Path

from speechgru.corpora.textgrid import Segment
from speechgru.errors import CorpusError

NUMBER = r"\d+(?:\.\d+)?"
LINE = re.compile(rf"({NUMBER})\s+({NUMBER})(?:\s+(.*))?")
CLOCK = re.compile(r"(?<![\d:])\d+:\d\d(:\d\d)?([.,]\d+)?(?![\d:])")
SPECTRAL = "\\"  # at the beginning of Audacity's lines with frequencies
MIN_SAMPLES = 1000  # of a recording in TIMIT
MIN_CLOCKS = 2  # lines with a time of day at the beginning of a transcript of a meeting


def read_labels(file: Path, text: str) -> list[Segment] | None:
    """The segments of a text whose lines begin with two times; None for another text.

    A single line that begins with 0 and a number of samples is the whole file, as in TIMIT. Raises
    CorpusError for times in an unknown unit or format.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    lines = [line for line in lines if not line.startswith(SPECTRAL)]
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    if not lines or len(found) < len(lines):
        if sum(bool(CLOCK.search(line)) for line in lines) > max(MIN_CLOCKS, len(lines) / 2):
            raise _unknown(file, lines[0])
        return None
    times = [(float(match[1]), float(match[2])) for match in found]
    if any(end < start for start, end in times) or [t for t, _ in times] != sorted(
        t for t, _ in times
    ):
        return None
    if all("." in match[1] and "." in match[2] for match in found):
        return [
            Segment(match[3].strip(), start, end)
            for match, (start, end) in zip(found, times, strict=True)
            if end > start and match[3] and match[3].strip()
        ]
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
