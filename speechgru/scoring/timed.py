"""NIST's time-marked files: segments of a reference (stm), words of a recogniser (ctm).

stm     recording channel speaker begin end [<labels>] text
ctm     recording channel begin duration word [confidence]

Design choices, as in NIST's sclite:
- Words belong to the segment in which their middle is. Those between two segments belong to the
  later one, those after the last segment to the last: they are insertions, not lost.
- A segment whose text is IGNORE_TIME_SEGMENT_IN_SCORING is not scored, nor are its words.
- `<ALT_BEGIN>`, `<ALT>` and `<ALT_END>` in the place of words enclose and separate alternatives.
- A recording without any recognised word counts as deletions. A warning names it, since nothing
  in a ctm file distinguishes silence from a crash.
- A reference in ctm is cut at pauses (`chunks`): as sclite does to score one hypothesis, and at
  pauses of all files to compare several.

Format: NIST SCTK, doc/infmts.htm; src/sclite/stm2ctm.c.
"""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from speechgru.errors import ScoringError
from speechgru.scoring.graph import NO_WORD, GraphBuilder, WordGraph, parse_graph
from speechgru.scoring.lines import short, some, tidy

log = logging.getLogger(__name__)

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
STM = re.compile(
    r"^(?P<recording>\S+) (?P<channel>\S+) (?P<speaker>\S+) "
    rf"(?P<begin>{_NUMBER}) (?P<end>{_NUMBER})"
    r"(?: <\S*>)?(?: (?P<text>.*))?$"
)
CTM = re.compile(
    rf"^(?P<recording>\S+) (?P<channel>\S+) (?:(?P<begin>{_NUMBER}) (?P<duration>{_NUMBER})|\* \*) "
    rf"(?P<word>\S+)(?: (?:{_NUMBER}|NA|na)(?: \S+){{0,2}})?$"
)
MAX_OVERLAP = 1.0  # seconds that a word may begin before the one listed before it
_IGNORED = re.compile("IGNORE_?TIME_?SEGMENT_?IN_?SCORING", re.IGNORECASE)
_BEGIN, _OR, _END = "<ALT_BEGIN>", "<ALT>", "<ALT_END>"

Channel = tuple[str, str]  # recording and channel


@dataclass(frozen=True, slots=True)
class TimedSegment:
    """A line of an stm file. Times in seconds."""

    id: str  # recording-channel-begin
    speaker: str
    begin: float
    end: float
    text: WordGraph | None  # None: ignored


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A line of a ctm file, or an alternation. Times in seconds."""

    times: tuple[tuple[float, float], ...]  # begin and end of each word
    middle: float  # of an alternation, the latest
    alternatives: tuple[str, ...]  # one unless it is an alternation

    @property
    def begin(self) -> float:
        return self.times[0][0]

    @property
    def end(self) -> float:
        return self.times[-1][1]


def read_stm(path: Path, lines: Sequence[str]) -> dict[Channel, list[TimedSegment]]:
    """Segments of an stm file, by recording and channel, sorted by time. Raises ScoringError."""
    channels: dict[Channel, list[TimedSegment]] = {}
    ids: dict[str, int] = {}
    for number, match in _records(
        path, lines, STM, "stm", "recording channel speaker begin end text"
    ):
        text = match["text"] or ""
        try:
            graph = None if _IGNORED.search(text) else parse_graph(text)
        except ScoringError as error:
            raise ScoringError(f"{path}, line {number}: {error}") from None
        if float(match["end"]) < float(match["begin"]):
            raise ScoringError(
                f"{path}, line {number}: it ends at {match['end']}, before it begins at "
                f"{match['begin']}; expected 'recording channel speaker begin end text'"
            )
        id_ = f"{match['recording']}-{match['channel']}-{match['begin']}"
        ids[id_] = ids.get(id_, 0) + 1
        id_ += f"#{ids[id_]}" if ids[id_] > 1 else ""
        segment = TimedSegment(
            id_, match["speaker"], float(match["begin"]), float(match["end"]), graph
        )
        channels.setdefault((match["recording"], match["channel"]), []).append(segment)
    return {key: sorted(each, key=lambda s: s.begin) for key, each in channels.items()}


def read_ctm(path: Path, lines: Sequence[str]) -> dict[Channel, list[TimedWord]]:
    """The words of a ctm file, by recording and channel, in the file's order or, where that is not
    in time, sorted. Raises ScoringError."""
    channels: dict[Channel, list[TimedWord]] = {}
    alternatives: list[list[str]] = []  # of the open alternation
    times: list[tuple[float, float]] = []  # of the word or alternation
    middles: list[float] = []
    for number, match in _records(path, lines, CTM, "ctm", "recording channel begin duration word"):
        words = channels.setdefault((match["recording"], match["channel"]), [])
        word, tag = match["word"], match["word"].upper()
        if tag not in (_BEGIN, _OR, _END):
            if match["begin"] is None:
                raise ScoringError(f"{path}, line {number}: {word!r} without begin and duration")
            begin, duration = float(match["begin"]), float(match["duration"])
            times.append((begin, begin + duration))
            middles.append(begin + duration / 2)
            try:
                parse_graph(word)
            except ScoringError as error:
                raise ScoringError(f"{path}, line {number}: {error}") from None
            if alternatives:
                alternatives[-1].append(word)
                continue
            texts: tuple[str, ...] = (word,)
        elif (tag == _BEGIN) == bool(alternatives):
            expected = f"{_OR} or {_END}" if alternatives else _BEGIN
            raise ScoringError(f"{path}, line {number}: {word} where {expected} was expected")
        elif tag != _END:
            alternatives.append([])
            continue
        elif not times:
            raise ScoringError(f"{path}, line {number}: alternatives without a word")
        else:
            texts = tuple(" ".join(each) or NO_WORD for each in alternatives)
            alternatives = []
        words.append(TimedWord(tuple(times), max(middles), texts))
        times, middles = [], []
    if alternatives:
        raise ScoringError(f"{path}: {_BEGIN} without {_END} at the end of the file")
    return {key: _in_time(each) for key, each in channels.items()}


def _in_time(words: list[TimedWord]) -> list[TimedWord]:
    """Words may overlap a little; their order is then the recogniser's."""
    if all(after.begin > before.begin - MAX_OVERLAP for before, after in pairwise(words)):
        return words
    return sorted(words, key=lambda word: word.begin)


def segments_as_references(
    channels: dict[Channel, list[TimedSegment]],
) -> dict[str, tuple[str, WordGraph]]:
    """Speaker and text of each scored segment, by id."""
    segments = (segment for each in channels.values() for segment in each)
    return {s.id: (s.speaker, s.text) for s in segments if s.text is not None}


def words_of_segments(
    segments: dict[Channel, list[TimedSegment]], words: dict[Channel, list[TimedWord]]
) -> dict[str, WordGraph]:
    """The words within each scored segment, by the segment's id."""
    texts: dict[str, WordGraph] = {}
    for channel, listed in segments.items():
        rest = list(words.get(channel, []))
        for number, segment in enumerate(listed, 1):
            count = len(rest)
            if number < len(listed):
                count = next((n for n, w in enumerate(rest) if w.middle >= segment.end), count)
            if segment.text is not None:
                texts[segment.id] = graph_of(rest[:count])
            rest = rest[count:]
    return texts


def graph_of(words: Sequence[TimedWord]) -> WordGraph:
    builder = GraphBuilder()
    for word in words:
        if len(word.alternatives) > 1:
            builder.alternatives(word.alternatives)
        else:
            builder.word(word.alternatives[0])
    return builder.graph()


def check_channels(
    reference: Path, expected: Sequence[Channel], hypothesis: Path, found: Sequence[Channel]
) -> None:
    """Raises ScoringError if the hypothesis has recordings or channels that the reference lacks;
    warns of those that it lacks itself."""
    lowered = {" ".join(channel).lower() for channel in expected}
    if extra := [" ".join(channel) for channel in found if channel not in expected]:
        hint = "; --ignore-case" if {name.lower() for name in extra} <= lowered else ""
        raise ScoringError(
            f"{hypothesis}: {len(extra)} of {len(found)} recordings (with channel) are not in "
            f"{reference} ({some(extra)}; there: {some([' '.join(c) for c in expected])}{hint})"
        )
    if lost := [" ".join(channel) for channel in expected if channel not in found]:
        log.warning(
            "%s: no words of %d of %d recordings (with channel) in %s (%s); counted as deletions",
            hypothesis, len(lost), len(expected), reference, some(lost),
        )  # fmt: skip


def _records(
    path: Path, lines: Sequence[str], pattern: re.Pattern[str], name: str, expected: str
) -> Iterator[tuple[int, re.Match[str]]]:
    for number, line in enumerate(map(tidy, lines), 1):
        if not line or line.startswith(";"):
            continue
        match = pattern.match(line)
        fields = match.groupdict() if match else {}
        times = [float(fields[key]) for key in ("begin", "end", "duration") if fields.get(key)]
        if match is None or not math.isfinite(sum(times)):  # 1e999 is infinite
            raise ScoringError(
                f"{path}, line {number}: expected {name}, '{expected}', found {short(line)!r}"
            )
        yield number, match
