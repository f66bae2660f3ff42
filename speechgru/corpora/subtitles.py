"""Subtitles (srt, vtt, ass, …) beside long audio: each is an utterance with its times."""

import html
import re
from pathlib import Path

import pysubs2

from speechgru.corpora.encoding import read_text
from speechgru.corpora.textgrid import Segment
from speechgru.errors import CorpusError

NOTE = re.compile(r"[\[(（【♪].*?[\])）】♪]|♪")  # what is not spoken: [applause], ♪ music ♪
TIME = re.compile(r"<[\d:.]+>")  # of the next word, in WebVTT
TURN = re.compile(r"^\s*[-–—]\s*")  # before what each of two people says


def read_subtitles(file: Path) -> list[Segment]:
    """The subtitles with words in them, in order of time; overlapping ones end where the next
    begins. Raises CorpusError for a file without any."""
    try:
        subtitles = pysubs2.SSAFile.from_string(read_text(file).text)
    except (pysubs2.exceptions.Pysubs2Error, ValueError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(f"{file}: cannot be read as subtitles: {reason:.100}") from None
    segments: list[Segment] = []
    for event in sorted(subtitles, key=lambda event: event.start):
        text = " ".join(TURN.sub("", line) for line in event.plaintext.split("\n"))
        text = html.unescape(TIME.sub("", text))
        text = " ".join(NOTE.sub(" ", text).split())
        if not text or event.is_comment or event.end <= event.start:
            continue
        start, end = event.start / 1000, event.end / 1000
        if segments and (before := segments[-1].end) is not None and before > start:
            last = segments[-1]
            segments[-1] = Segment(last.text, last.start, max(start, last.start + 0.001))
        segments.append(Segment(text, start, end))
    if not segments:
        raise CorpusError(f"{file}: no subtitle with words in it")
    return segments
