"""Words with times → subtitle cues.

Design choices
- At most LINES lines of COLUMNS characters, the usual limits for television.
- A cue ends at a pause. Where none comes in time, it ends at the longest gap between two words in
  the second half of what fits.
- Cues never overlap. A short cue stays until LEAST seconds are over, or the next one begins; where
  that is too soon, the words go into one cue.
- Without spaces, a sentence is one word. It is divided into parts that fit, equal in length and
  time.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from speechgru.decoding.hotwords import is_unspaced
from speechgru.decoding.transcript import Word

COLUMNS, LINES = 42, 2
LEAST, MOST = 1.0, 7.0  # seconds
PAUSE = 0.7  # seconds without a word


@dataclass(frozen=True, slots=True)
class Cue:
    """A text of one or two lines and when to show it, in seconds."""

    start: float
    end: float
    text: str


def make_cues(words: Sequence[Word], duration: float) -> list[Cue]:
    """The cues of a recording of `duration` seconds. A word longer than a line is broken."""
    words = [part for word in words for part in _parts(word)]
    cues: list[Cue] = []
    first = 0
    while first < len(words):
        last = _last_word(words, first)
        following = words[last + 1].start if last + 1 < len(words) else max(duration, words[-1].end)
        begin = words[first].start
        end = min(max(words[last].end, begin + LEAST), begin + MOST, following)
        cues.append(Cue(begin, end, "\n".join(_lines(words[first : last + 1]))))
        first = last + 1
    return cues


def _parts(word: Word) -> Iterator[Word]:
    """A word of a script without spaces in parts of at most a line and MOST seconds."""
    text, duration = word.text, word.end - word.start
    count = max(1, math.ceil(len(text) / COLUMNS), min(len(text), math.ceil(duration / MOST)))
    if count == 1 or not is_unspaced(text):
        yield word
        return
    for number in range(count):
        first, last = (round(len(text) * edge / count) for edge in (number, number + 1))
        start, end = (word.start + duration * edge / count for edge in (number, number + 1))
        yield replace(word, text=text[first:last], start=start, end=end)


def _last_word(words: Sequence[Word], first: int) -> int:
    """The last word of the cue that begins with word `first`."""
    begin = words[first].start
    last = first
    while last + 1 < len(words):
        after = words[last + 1]
        long_enough = after.start - begin >= LEAST
        if after.start - words[last].end >= PAUSE and long_enough:
            return last
        if after.end - begin > MOST or len(_lines(words[first : last + 2])) > LINES:
            break
        last += 1
    else:
        return last
    ends = [k for k in range((first + last) // 2, last + 1) if words[k + 1].start - begin >= LEAST]
    return max(ends or [last], key=lambda k: (words[k + 1].start - words[k].end, k))


def _lines(words: Sequence[Word]) -> list[str]:
    """The text in as few lines as possible, of similar length."""
    text = " ".join(word.text for word in words)
    lines = textwrap.wrap(text, COLUMNS, break_on_hyphens=False)
    if len(lines) == 2:
        for width in range(len(text) // 2, COLUMNS):
            even = textwrap.wrap(text, width, break_on_hyphens=False)
            if len(even) == 2:
                return even
    return lines
