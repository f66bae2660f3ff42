"""Subtitles (srt, vtt, ass, …) beside long audio: each is an utterance with its times."""

import html
import re
from pathlib import Path

import pysubs2

from speechgru.corpora.textgrid import Segment
from speechgru.errors import CorpusError, reason_of

NOTE = re.compile(r"[\[(（【♪].*?[\])）】♪]|♪")  # what is not spoken: [applause], ♪ music ♪
TIME = re.compile(r"<[\d:.]+>")  # of the next word, in WebVTT; pysubs2 takes it for a cue's
ROLLING = 0.3  # share of subtitles that begin with lines of the one before, where captions roll up
TURN = re.compile(r"^\s*[-–—]\s*")  # before what each of two people says


def read_subtitles(file: Path, content: str) -> list[Segment]:
    """The subtitles with words in the content of a file, in order of time; overlapping ones end
    where the next begins. Raises CorpusError for a file without any."""
    try:
        subtitles = pysubs2.SSAFile.from_string(TIME.sub("", content))
    except (pysubs2.exceptions.Pysubs2Error, ValueError, KeyError, IndexError) as error:
        raise CorpusError(f"{file}: cannot be read as subtitles: {reason_of(error):.100}") from None
    segments: list[Segment] = []
    shown = [event for event in subtitles if not event.is_comment and event.end > event.start]
    shown.sort(key=lambda event: event.start)
    for event, lines in zip(shown, _without_repeated([_lines(e) for e in shown]), strict=True):
        text = " ".join(NOTE.sub(" ", " ".join(lines)).split())
        if not text:
            continue
        start, end = event.start / 1000, event.end / 1000
        if segments and (before := segments[-1].end) is not None and before > start:
            last = segments[-1]
            segments[-1] = Segment(last.text, last.start, max(start, last.start + 0.001))
        segments.append(Segment(text, start, end))
    if not segments:
        raise CorpusError(f"{file}: no subtitle with words in it")
    return segments


def _lines(event: pysubs2.SSAEvent) -> list[str]:
    """The lines of a subtitle that are not blank."""
    lines = [TURN.sub("", line) for line in event.plaintext.split("\n")]
    return [line for line in (" ".join(html.unescape(line).split()) for line in lines) if line]


def _without_repeated(events: list[list[str]]) -> list[list[str]]:
    """Without the lines that subtitles repeat of those before, if many do: captions that roll up,
    such as YouTube's automatic ones."""
    found = []
    for before, lines in zip([[], *events], events, strict=False):
        sizes = range(min(len(before), len(lines)), 0, -1)
        repeated = next((n for n in sizes if before[-n:] == lines[:n]), 0)
        found.append(lines[repeated:])
    rolling = sum(len(new) < len(lines) for new, lines in zip(found, events, strict=True))
    return found if rolling > ROLLING * len(events) else events
