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
"""

from collections.abc import Sequence

import numpy as np

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
    emission: Emission, frames: Sequence[int], words: Sequence[Spelled], lead: float = LEAD
) -> list[tuple[float, float]]:
    """Where words begin and end, in seconds from the beginning of the recording, given the frame in
    which each token begins.

    Words do not overlap, have a length above 0, and are within the audio.
    """
    spikes = emission.start - emission.begin + np.asarray(frames) * emission.seconds_per_frame
    duration = emission.duration or float(len(emission.log_probs) * emission.seconds_per_frame)
    loudness = _Loudness(emission)
    ends, begins = [], []
    for before, after in zip([None, *words], [*words, None], strict=True):
        left = None if before is None else float(spikes[before.last])
        right = None if after is None else float(spikes[after.first])
        gap = loudness.pause(left, right)
        if gap is None and left is not None and right is not None and before and after:
            between = spikes[before.last + 1 : after.first]
            gap = _meeting(left, right, float(between[0]) if len(between) else None, lead)
            if emission.levels is None and right - left > lead + TRAIL + PAUSE:
                gap = left + TRAIL, right - lead
        elif gap is None:
            gap = (left or 0.0) + TRAIL, (duration if right is None else right) - lead
        ends.append(gap[0])
        begins.append(gap[1])
    found = _in_order(list(zip(begins, ends[1:], strict=False)), duration)
    return [(emission.begin + begin, emission.begin + end) for begin, end in found]


def first_leads(emission: Emission, frame: int) -> list[float]:
    """How long before the spike of its first word, in `frame`, speech begins, in seconds; empty
    where that is not known."""
    spike = emission.start - emission.begin + frame * emission.seconds_per_frame
    gap = _Loudness(emission).pause(None, spike)
    return [] if gap is None or gap[1] >= spike else [spike - gap[1]]


def _meeting(left: float, right: float, space: float | None, lead: float) -> tuple[float, float]:
    """Where two words meet that have no pause between them; twice, as end and as beginning."""
    time = right - lead
    if space is not None:
        time = (time + space - (lead - SPACE_LEAD)) / 2
    return time, time


class _Loudness:
    """The levels of an emission's audio, and the pauses in it."""

    def __init__(self, emission: Emission) -> None:
        self.step = emission.seconds_per_level
        self.levels = np.zeros(0) if emission.levels is None else emission.levels
        self.smooth = self.levels
        if self.levels.size:
            power = np.convolve(10 ** (self.levels / 10), np.full(3, 1 / 3))[1:-1]
            self.smooth = 10 * np.log10(power + 1e-12)

    def pause(self, left: float | None, right: float | None) -> tuple[float, float] | None:
        """Begin and end of the longest pause between two spikes, if there is one; None at `left` or
        `right` is the beginning or the end of the audio."""
        spikes = [spike for spike in (left, right) if spike is not None]
        if not self.levels.size or not spikes:
            return None
        first = 0 if left is None else max(0, int((left - BACK) / self.step))
        last = len(self.levels) if right is None else max(0, int(right / self.step))
        peak = max(self._level_around(spike) for spike in spikes)
        near = round(FLOOR_SECONDS / self.step)
        floor = float(np.quantile(self.levels[max(0, first - near) : last + near], 0.05))
        floor = max(floor, peak - QUIET_RANGE)
        if peak - floor < CONTRAST:
            return None
        quiet = self.smooth[first:last] < floor + QUIET_SHARE * (peak - floor)
        turns = np.flatnonzero(np.diff(quiet, prepend=False, append=False)).reshape(-1, 2)
        if left is not None and right is None:  # not a pause before the last word
            turns = turns[(first + turns[:, 1]) * self.step > left - BACK / 2]
        if not len(turns):
            return None
        begin, end = turns[np.argmax(turns[:, 1] - turns[:, 0])]
        if left is not None and right is not None and (end - begin) * self.step < PAUSE:
            return None
        ends, begins = float(first + begin) * self.step, float(first + end) * self.step
        if left is not None:
            ends = min(ends, left + LONGEST_TRAIL)
        if right is not None:
            begins = max(begins, right - LONGEST_LEAD)
        return ends, begins

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
