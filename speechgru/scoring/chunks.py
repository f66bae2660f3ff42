"""Cutting ctm files at common pauses, where a reference is ctm and has no segments.

Two files as sclite does, so that counts are equal: chunks of some 50 lines that end at a pause in
both. Long recordings would otherwise take memory by the product of their words, and a recording
would be a single utterance, from which no significance can be estimated.

Source: NIST SCTK 2.4.10, src/sclite/ctm2ctm.c (chop_WTOKE_2).
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from speechgru.scoring.timed import TimedWord

LINES = 50  # of a chunk; twice as many where there is no common pause, and so on
_END_OF_TIME = 999_999.99  # seconds


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a ctm file; tags of alternatives have no times. Times in seconds."""

    begin: float
    end: float
    alternative: bool
    word: int  # index of the TimedWord that it belongs to


_NONE = _Line(0.0, 0.0, False, -1)


def cut_at_pauses(
    reference: Sequence[TimedWord], hypothesis: Sequence[TimedWord]
) -> Iterator[tuple[Sequence[TimedWord], Sequence[TimedWord]]]:
    """Chunks of both, in order; together they are all words."""
    sides = reference, hypothesis
    lines = [[line for n, word in enumerate(side) for line in _lines(n, word)] for side in sides]
    starts, taken = [0, 0], [0, 0]
    while starts[0] < len(lines[0]) or starts[1] < len(lines[1]):
        most = LINES
        while (ends := _Cut(lines[0], lines[1], *starts).end(most)) is None:
            most *= 2
        chunk = []
        for k, (side, each) in enumerate(zip(sides, lines, strict=True)):
            starts[k] = max(starts[k], ends[k] + 1)
            stop = each[starts[k]].word if starts[k] < len(each) else len(side)
            chunk.append(side[taken[k] : stop])
            taken[k] = stop
        yield chunk[0], chunk[1]


def cut_at_common_pauses(*sides: Sequence[TimedWord]) -> list[tuple[list[TimedWord], ...]]:
    """Chunks of a reference and several hypotheses; together they are all words. Each ends at the
    first pause of all files after LINES words of the reference."""
    words = [(w.begin, w.end, number == 0) for number, side in enumerate(sides) for w in side]
    cuts: list[float] = []  # seconds
    end, count = -math.inf, 0  # of the words until now; of the reference's in this chunk
    for begin, word_end, in_reference in sorted(words):
        if count >= LINES and begin >= end:
            cuts.append(begin)
            count = 0
        end = max(end, word_end)
        count += in_reference
    chunks: list[tuple[list[TimedWord], ...]] = [
        tuple([] for _ in sides) for _ in range(len(cuts) + 1)
    ]
    for number, side in enumerate(sides):
        for word in side:
            chunks[bisect_right(cuts, word.begin)][number].append(word)
    return chunks


def _lines(index: int, word: TimedWord) -> list[_Line]:
    if len(word.alternatives) == 1:
        return [_Line(word.begin, word.end, False, index)]
    tag = _Line(0.0, 0.0, True, index)
    inside = [_Line(*times, True, index) for times in word.times]
    return [tag, *inside, *[tag] * len(word.alternatives)]


class _Cut:
    """The search for the end of a chunk that begins at two lines."""

    def __init__(
        self, reference: list[_Line], hypothesis: list[_Line], first: int, first_hyp: int
    ) -> None:
        self.reference, self.hypothesis = reference, hypothesis
        self.first, self.first_hyp = first, first_hyp
        self.last, self.last_hyp = len(reference) - 1, len(hypothesis) - 1
        self.r = self.h = 0  # the last lines of the chunk, inclusive

    def end(self, most: int) -> tuple[int, int] | None:
        """The last lines of a chunk of up to `most` + 1 lines; None if there is no common pause."""
        if self.last - self.first < most and self.last_hyp - self.first_hyp < most:
            return self.last, self.last_hyp
        self.r = min(self.first + most, self.last)
        self.h = min(self.first_hyp + most, self.last_hyp)
        self._before_alternatives()
        skipped = True
        while skipped:
            if self._ref.begin > self._hyp.begin:
                skipped = self._follow_reference()
            else:
                skipped = False
                self._follow_hypothesis()
        while self.r > self.first and self.h > self.first_hyp:
            if self._common_pause():
                return self.r, self.h
            self._step_back()
        return (self.r, self.h) if self.r > self.first or self.h > self.first_hyp else None

    @property
    def _ref(self) -> _Line:
        return self.reference[self.r] if self.r >= 0 else _NONE

    @property
    def _hyp(self) -> _Line:
        return self.hypothesis[self.h] if self.h >= 0 else _NONE

    def _common_pause(self) -> bool:
        """Whether the pauses after the two lines have a time in common."""
        after = self.reference[self.r + 1].begin if self.r < self.last else _END_OF_TIME
        after_hyp = self.hypothesis[self.h + 1].begin if self.h < self.last_hyp else _END_OF_TIME
        return min(after, after_hyp) >= max(self._ref.end, self._hyp.end)

    def _apart(self) -> bool:
        """Whether the two lines have no time in common."""
        return min(self._ref.end, self._hyp.end) < max(self._ref.begin, self._hyp.begin)

    def _step_back(self) -> None:
        """One line less of the file whose line begins later; the other follows."""
        skipped = True
        while skipped:
            skipped = False
            if self._ref.begin > self._hyp.begin:
                if self.r > self.first:
                    self.r -= 1
                    skipped = self._before_alternatives()
                if not skipped:
                    self._follow_hypothesis()
            else:
                if self.h > self.first_hyp:
                    self.h -= 1
                skipped = self._follow_reference()

    def _before_alternatives(self) -> bool:
        """Move the reference out of alternatives; whether it was in some."""
        before = self.r
        while self.r >= self.first and self._ref.alternative:
            self.r -= 1
        return self.r < before

    def _follow_reference(self) -> bool:
        """Move the reference back to the hypothesis' line; whether alternatives were skipped."""
        while self.r >= self.first and self._ref.begin > self._hyp.begin and self._apart():
            self.r -= 1
            if self._before_alternatives():
                return True
        return False

    def _follow_hypothesis(self) -> None:
        while self.h >= self.first_hyp and self._ref.begin < self._hyp.begin and self._apart():
            self.h -= 1
