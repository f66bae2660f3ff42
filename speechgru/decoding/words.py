"""The words of a hypothesis: where they begin and end, and how probable they are.

CTC gives each token one frame or a few, somewhere within the character: a "spike". The first spike
of a word comes some time after the word begins, the model's `lead`, and the last one is anywhere
near its end. So between two words, from the last spike of the one to the first of the other:

- where the audio has a pause, the first word ends where the pause begins, and the second one begins
  where it ends. A pause is PAUSE seconds or more of quiet audio: below a fifth of the way from the
  noise floor to the loudest of the speech around, in dB. It may begin up to BACK before the last
  spike.
- elsewhere, the words meet one lead before the first spike of the second one; a spike of the space
  between them, where there is one, is as good an estimate, and the mean of both is taken.

The first word begins and the last word ends in the same way, at the audio's pauses. Without levels
(`Emission.levels`), the lead and TRAIL stand in for pauses.

A word that the model cannot spell has no spikes; `align` puts its token anywhere between those of
its neighbours. It gets what is between these, which end and begin as elsewhere, but each by itself:
only pauses near its own spike count. At an end of the recording, the audible audio is the limit.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from speechgru.audio.segmentation import runs
from speechgru.decoding.emission import Emission, Floats
from speechgru.decoding.hypothesis import Hypothesis, Spelled
from speechgru.text import Vocabulary

LEAD = 0.09  # seconds from the beginning of a word to its first spike; see docs/transcripts.md
SPACE_LEAD = 0.05  # by how much less it is to the spike of the space before a word
TRAIL = 0.18  # seconds from the last spike to the end of a word before a pause
BACK = 0.2
PAUSE = 0.09
QUIET_SHARE = 0.2
QUIET_RANGE = 45.0  # dB: a noise floor further below the speech does not count as such
FLOOR_SECONDS = 10.0  # around a pause, for the noise floor: its 5th percentile
CONTRAST = 6.0  # dB between floor and speech without which no pause is looked for
LONGEST_LEAD, LONGEST_TRAIL = 0.25, 0.4  # seconds from a spike to the edge of its word
NEAR = 0.15  # seconds around a spike in which the speech's level is measured
SHORTEST = 0.02  # seconds
SPIKE_FRAMES = 4  # a token's probability is the largest in so many frames
LEAST = -20.0  # natural logarithm of the smallest probability


def spell(hypothesis: Hypothesis, vocabulary: Vocabulary) -> tuple[Spelled, ...]:
    """The words of a hypothesis: its own, or those that its tokens spell."""
    if hypothesis.words is not None:
        return hypothesis.words
    words: list[Spelled] = []
    between, begin = vocabulary.between, 0
    for place, token in enumerate((*hypothesis.tokens, None)):
        if token is None or vocabulary.tokens[token][0].isspace():
            if text := vocabulary.decode(hypothesis.tokens[begin:place]).strip():
                words.append(Spelled(text, begin, place - 1))
            begin = place + (token in between)
    return tuple(words)


def least_probable(emission: Emission, hypothesis: Hypothesis, words: Sequence[Spelled]) -> Floats:
    """(words,) natural logarithms: the probability of each word's least probable token."""
    log_probs, frames = emission.log_probs, [*hypothesis.frames, len(emission.log_probs)]
    best = np.empty(len(hypothesis.frames), np.float32)
    for place, token in enumerate(hypothesis.tokens[: len(best)]):
        first = frames[place]
        last = max(first + 1, min(frames[place + 1], first + SPIKE_FRAMES))
        if token >= 0:
            best[place] = log_probs[first:last, token].max(initial=LEAST)
    return np.array([best[word.first : word.last + 1].min(initial=0.0) for word in words])


def word_spans(
    emission: Emission,
    frames: Sequence[int],
    words: Sequence[Spelled],
    lead: float = LEAD,
    unknown: Collection[int] = (),
) -> list[tuple[float, float]]:
    """Where words begin and end, in seconds from the beginning of the recording, given the frame in
    which each token begins. `unknown`: the numbers of the words that the model cannot spell.

    Words do not overlap, have a length above 0, and are within the audio.
    """
    spikes = emission.start - emission.begin + np.asarray(frames) * emission.seconds_per_frame
    duration = emission.duration or float(len(emission.log_probs) * emission.seconds_per_frame)
    loudness = _Loudness(emission)
    spaces = {  # the spikes of those before words
        number: float(spikes[one.last + 1])
        for number, (one, other) in enumerate(pairwise(words), 1)
        if one.last + 1 < other.first
    }
    found: list[tuple[float, float]] = []
    begin = 0.0
    known = [number for number in range(len(words)) if number not in unknown]
    for before, after in pairwise([-1, *known, len(words)]):
        left = None if before < 0 else float(spikes[words[before].last])
        right = None if after == len(words) else float(spikes[words[after].first])
        between = " ".join(word.text for word in words[before + 1 : after])
        if not between:
            gap = loudness.pause(left, right)
        else:
            start, end = loudness.audible(left, right) or (0.0, duration)
            space = spaces.get(before + 1)
            if left is not None:
                start = left + TRAIL if space is None else space - (lead - SPACE_LEAD)
            if right is not None:
                end = _begin(right, spaces.get(after), lead)
            gap = loudness.between(left, right, start, end, space)
        if gap is None and left is not None and right is not None:
            time = _begin(right, spaces.get(after), lead)
            gap = time, time
            if emission.levels is None and right - left > lead + TRAIL + PAUSE:
                gap = left + TRAIL, right - lead
        elif gap is None:
            gap = (left or 0.0) + TRAIL, (duration if right is None else right) - lead
        if left is not None:
            found.append((begin, gap[0]))
        found += [(start, end) for _, start, end in divide(between, *gap)]
        begin = gap[1]
    found = _in_order(found, duration)
    return [(emission.begin + begin, emission.begin + end) for begin, end in found]


def divide(text: str, start: float, end: float) -> Iterator[tuple[str, float, float]]:
    """The words of a text, each with a share of the time by its length."""
    parts, duration = text.split(), end - start
    for part in parts:
        share = duration * len(part) / sum(map(len, parts))
        yield part, start, start + share
        start += share


def first_leads(emission: Emission, frame: int) -> list[float]:
    """How long before the spike of its first word, in `frame`, speech begins, in seconds; empty
    where that is not known."""
    spike = emission.start - emission.begin + frame * emission.seconds_per_frame
    gap = _Loudness(emission).pause(None, spike)
    return [] if gap is None or gap[1] >= spike else [spike - gap[1]]


def _begin(spike: float, space: float | None, lead: float) -> float:
    """Where a word begins that has no pause before it, by its first spike and the space's."""
    if space is None:
        return spike - lead
    return (spike - lead + space - (lead - SPACE_LEAD)) / 2


class _Loudness:
    """The levels of an emission's audio, and the pauses in it."""

    def __init__(self, emission: Emission) -> None:
        self.step = emission.seconds_per_level
        self.levels = np.zeros(0) if emission.levels is None else emission.levels
        self.smooth = self.levels
        if self.levels.size:
            power = np.convolve(10 ** (self.levels / 10), np.full(3, 1 / 3))[1:-1]
            self.smooth = 10 * np.log10(power + 1e-12)

    def pause(
        self, left: float | None, right: float | None, limit: float | None = None
    ) -> tuple[float, float] | None:
        """Begin and end of the longest pause between two spikes, if there is one; None at `left` or
        `right` is the beginning or the end of the audio, or `limit`, if that is given."""
        spikes = [spike for spike in (left, right) if spike is not None]
        if not self.levels.size or not spikes:
            return None
        start = limit or 0.0 if left is None else left - BACK
        stop = limit if right is None else right
        first = max(0, int(start / self.step))
        last = len(self.levels) if stop is None else max(0, int(stop / self.step))
        quiet = self._quiet(first, last, max(self._level_around(spike) for spike in spikes))
        turns = runs(quiet)
        if left is not None and right is None:  # not a pause before the last word
            turns = turns[(first + turns[:, 1]) * self.step > left - BACK / 2]
        if not len(turns):
            return None
        begin, end = turns[np.argmax(turns[:, 1] - turns[:, 0])]
        inside = limit is not None or len(spikes) == 2
        if inside and (end - begin) * self.step < PAUSE:
            return None
        ends, begins = float(first + begin) * self.step, float(first + end) * self.step
        if left is not None:
            ends = min(ends, left + LONGEST_TRAIL)
        if right is not None:
            begins = max(begins, right - LONGEST_LEAD)
        return ends, begins

    def between(
        self,
        left: float | None,
        right: float | None,
        begin: float,
        end: float,
        space: float | None = None,
    ) -> tuple[float, float]:
        """`begin` and `end` of words that the model cannot spell, between the spikes of their
        neighbours, moved to the pauses near these. `space`: the spike after the one at `left`; a
        pause that begins after it is within these words, or after them."""
        if left is not None:
            limit = left + LONGEST_TRAIL + PAUSE
            pause = self.pause(left, None, limit if right is None else min(limit, right))
            begin = pause[0] if pause and (space is None or pause[0] <= space) else begin
        if right is not None:
            limit = right - LONGEST_LEAD - PAUSE
            pause = self.pause(None, right, limit if left is None else max(limit, left))
            end = pause[1] if pause else end
        return min(begin, end), end

    def audible(self, left: float | None, right: float | None) -> tuple[float, float] | None:
        """Begin and end of what is not quiet between two spikes, if levels are known; None is the
        beginning or the end of the audio."""
        first = 0 if left is None else int(left / self.step)
        last = len(self.levels) if right is None else int(right / self.step)
        levels = self.smooth[first:last]
        if not levels.size:
            return None
        loud = np.flatnonzero(~self._quiet(first, last, float(levels.max())))
        return float(first + loud[0]) * self.step, float(first + loud[-1] + 1) * self.step

    def _quiet(self, first: int, last: int, peak: float) -> npt.NDArray[np.bool_]:
        """Whether each of these levels is quiet beside speech with such a peak."""
        near = round(FLOOR_SECONDS / self.step)
        floor = float(np.quantile(self.levels[max(0, first - near) : last + near], 0.05))
        floor = max(floor, peak - QUIET_RANGE)
        limit = floor + QUIET_SHARE * (peak - floor) if peak - floor >= CONTRAST else -np.inf
        return self.smooth[first:last] < limit

    def _level_around(self, spike: float) -> float:
        first, last = (int(max(0.0, spike + side) / self.step) for side in (-NEAR, NEAR))
        return float(self.levels[first : last + 1].max(initial=-200.0))


def _in_order(spans: list[tuple[float, float]], duration: float) -> list[tuple[float, float]]:
    """Spans that do not overlap, have a length, and end by `duration`."""
    shortest = min(SHORTEST, duration / (2 * max(1, len(spans))))
    found: list[tuple[float, float]] = []
    earliest = 0.0
    for number, (begin, end) in enumerate(spans):
        latest = duration - (len(spans) - 1 - number) * shortest
        begin = max(min(begin, latest - shortest), earliest)  # rounded, the limit may be earlier
        end = min(max(end, begin + shortest), latest)
        found.append((begin, end))
        earliest = end
    return found
