"""The compiled part of reading ARPA files: lines of numbers and words to arrays.

    log10 probability, white space, the words, and where more follows: white space, log10 back-off

`parse_ngrams` returns (rows read, position, problem): the position after the last row, or of the
line with a problem, which is a key of PROBLEMS.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speechgru.jit import compiled, inner
from speechgru.lm.ngram import Floats, Ints

Bytes = npt.NDArray[np.uint8]

PROBLEMS = {
    1: "expected a log10 probability, then {order} words",
    2: "expected a log10 probability of at most 0",
    3: "expected {order} words",
    4: "a word that is not among the 1-grams",
    5: "expected nothing or a back-off weight after {order} words",
    6: "a 1-gram that occurs twice",
    7: "more {order}-grams than the {count} announced",
}
NEWLINE, RETURN, BLANK, TAB, BACKSLASH = 10, 13, 32, 9, 92
ROUNDING = 1e-4  # of log10 probabilities that should be 0


class Names(NamedTuple):
    """The distinct words, in order of appearance, and a hash table to find them."""

    start: npt.NDArray[np.int64]  # (words,) position of the first byte
    length: Ints  # (words,) bytes
    slots: Ints  # (power of 2,) word number + 1; 0 where empty

    @classmethod
    def empty(cls, words: int) -> "Names":
        slots = 1 << (2 * words).bit_length()
        return cls(np.zeros(words, np.int64), np.zeros(words, np.int32), np.zeros(slots, np.int32))


@compiled
def parse_ngrams(
    data: Bytes, position: int, names: Names, ngrams: Ints, log_prob: Floats, back_off: Floats
) -> tuple[int, int, int]:
    """The rows of the section of one order; the words of 1-grams are added to `names`."""
    row, order = 0, ngrams.shape[1]
    while True:
        position = _next_line(data, position)
        if position >= len(data) or data[position] == BACKSLASH:
            return row, position, 0
        begin = position
        if row == len(ngrams):
            return row, begin, 7
        value, position, problem = _probability(data, position)
        if problem:
            return row, begin, problem
        log_prob[row] = value
        for column in range(order):
            start, position = _word(data, position)
            if position == start:
                return row, begin, 3
            slot = _slot(data, names, start, position - start)
            if order == 1:
                if names.slots[slot]:
                    return row, begin, 6
                names.start[row], names.length[row] = start, position - start
                names.slots[slot] = row + 1
            elif not names.slots[slot]:
                return row, begin, 4
            ngrams[row, column] = names.slots[slot] - 1
        back_off[row], position, problem = _rest(data, position)
        if problem:
            return row, begin, problem
        row += 1


@inner
def _next_line(data: Bytes, position: int) -> int:
    """The first character of the next line that is not blank."""
    while position < len(data) and data[position] in (NEWLINE, RETURN, BLANK, TAB):
        position += 1
    return position


@inner
def _probability(data: Bytes, position: int) -> tuple[float, int, int]:
    value, position, fine = _number(data, position)
    if not fine:
        return value, position, 1
    if not value <= ROUNDING:
        return value, position, 2
    return min(value, 0.0), position, 0


@inner
def _rest(data: Bytes, position: int) -> tuple[float, int, int]:
    """(back-off weight or 0, end of the line, problem)."""
    position = _skip(data, position)
    value = 0.0
    if position < len(data) and data[position] not in (NEWLINE, RETURN):
        value, position, fine = _number(data, position)
        position = _skip(data, position)
        if not fine or (position < len(data) and data[position] not in (NEWLINE, RETURN)):
            return value, position, 5
    return value, position, 0


@inner
def _skip(data: Bytes, position: int) -> int:
    while position < len(data) and data[position] in (BLANK, TAB):
        position += 1
    return position


@inner
def _word(data: Bytes, position: int) -> tuple[int, int]:
    """(first byte of the next word of the line, the byte after it); equal at the line's end."""
    start = position = _skip(data, position)
    while position < len(data) and data[position] not in (NEWLINE, RETURN, BLANK, TAB):
        position += 1
    return start, position


@inner
def _number(data: Bytes, position: int) -> tuple[float, int, bool]:
    """(value, position after it, whether it is a number)."""
    start, end = _word(data, position)
    at, sign = start, 1.0
    if at < end and data[at] in (43, 45):  # + -
        sign = -1.0 if data[at] == 45 else 1.0
        at += 1
    if end - at >= 3 and data[at] | 32 == 105 and data[at + 1] | 32 == 110:  # inf
        return sign * 99.0, end, True
    value, digits, scale, point = 0.0, 0, 0, False
    while at < end and (48 <= data[at] <= 57 or (data[at] == 46 and not point)):
        if data[at] == 46:
            point = True
        else:
            value = 10 * value + (data[at] - 48)
            digits += 1
            scale -= point
        at += 1
    if at < end and digits and data[at] | 32 == 101:  # e
        at += 1
        power_sign, power, first = 1, 0, at
        if at < end and data[at] in (43, 45):
            power_sign = -1 if data[at] == 45 else 1
            at += 1
            first = at
        while at < end and 48 <= data[at] <= 57 and power < 1000:
            power = 10 * power + (data[at] - 48)
            at += 1
        scale += power_sign * power
        digits *= at > first
    return sign * value * 10.0**scale, end, digits > 0 and at == end


@inner
def _slot(data: Bytes, names: Names, start: int, length: int) -> np.int64:
    """Where the word is in the hash table, or the empty slot for it (FNV-1a, linear probing)."""
    code = np.uint64(14695981039346656037)
    for at in range(start, start + length):
        code = (code ^ np.uint64(data[at])) * np.uint64(1099511628211)
    code ^= code >> np.uint64(32)
    mask = len(names.slots) - 1
    slot = np.int64(code & np.uint64(mask))
    while names.slots[slot]:
        number = names.slots[slot] - 1
        if names.length[number] == length:
            same = True
            for i in range(length):
                if data[names.start[number] + i] != data[start + i]:
                    same = False
                    break
            if same:
                break
        slot = (slot + 1) & mask
    return slot
