"""Text to n-gram counts, by sorting: ten million words take seconds and some hundred megabytes."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from speechgru.errors import LanguageModelError
from speechgru.lm.ngram import END, SPACE, START, UNKNOWN, Ints, Unit

Normalise = Callable[[str], str]
SPECIAL = (UNKNOWN, START, END)  # numbers 0, 1 and 2
NUMBERS_IN_A_ROW = re.compile(r"[0-9]\s+[0-9]")
BETWEEN_PARTS = re.compile(r"(?<![0-9])\s+|\s+(?![0-9])")


@dataclass(frozen=True)
class Corpus:
    """Sentences as word numbers, each between `<s>` and `</s>`."""

    words: tuple[str, ...]  # SPECIAL, then the words in code point order
    numbers: Ints  # all sentences, one after the other
    sentences: int
    unknown: int  # tokens that a given vocabulary lacks

    @property
    def tokens(self) -> int:
        return len(self.numbers) - 2 * self.sentences


@dataclass(frozen=True)
class Level:
    """The distinct n-grams of one order, sorted by prefix and last word."""

    parent: Ints  # (n-grams,) of the order below, without the last word
    suffix: Ints  # (n-grams,) of the order below, without the first word
    word: Ints  # (n-grams,) the last word
    count: npt.NDArray[np.int64]  # (n-grams,) occurrences
    starts: npt.NDArray[np.bool_]  # (n-grams,) the first word is <s>


class _Units(dict[str, tuple[int, ...]]):
    """A part of a line → the numbers of its units, computed once for each distinct one."""

    def __init__(self, unit: Unit, normalise: Normalise, vocabulary: Sequence[str] | None) -> None:
        super().__init__()
        self.unit, self.normalise, self.open = unit, normalise, True
        self.numbers = {word: number for number, word in enumerate(SPECIAL)}
        if unit == "character":
            self._number(SPACE)
        for text in vocabulary or ():  # read as the text is, to match its units
            for part in _parts(text):
                self[part]
        self.open = vocabulary is None

    def __missing__(self, part: str) -> tuple[int, ...]:
        self[part] = found = tuple(map(self._number, _units_of(part, self.unit, self.normalise)))
        return found

    def _number(self, word: str) -> int:
        if self.open:
            return self.numbers.setdefault(word, len(self.numbers))
        return self.numbers.get(word, 0)


def _parts(line: str) -> list[str]:
    """What of a line can be normalised on its own: words, and numbers that follow one another,
    since `text.spell_numbers` reads groups of digits as one."""
    return BETWEEN_PARTS.split(line.strip()) if NUMBERS_IN_A_ROW.search(line) else line.split()


def _units_of(part: str, unit: Unit, normalise: Normalise) -> list[str]:
    """Words, or characters with a space before each word; `<s>` and `</s>` have none."""
    if part in (START, END):
        return []
    if part == UNKNOWN:
        return [UNKNOWN] if unit == "word" else [SPACE, UNKNOWN]
    words = normalise(part).split()
    return words if unit == "word" else [each for word in words for each in (SPACE, *word)]


def sentence_units(line: str, unit: Unit, normalise: Normalise) -> list[str]:
    """The units of a line, as a model is trained on them."""
    units = chain.from_iterable(_units_of(part, unit, normalise) for part in _parts(line))
    return [*units][unit == "character" :]


def read_corpus(
    lines: Iterable[str],
    unit: Unit,
    normalise: Normalise,
    vocabulary: Sequence[str] | None = None,
    source: str = "the text",
) -> Corpus:
    """The sentences of a text, one per line; lines without words are skipped.

    Args:
        normalise: as the recogniser's text rule; it must treat words one by one, except numbers.
        vocabulary: texts whose words (or characters) are the only ones of the model; all others
            become `<unk>`.
        source: name of the text in errors.

    Raises LanguageModelError when there are no words.
    """
    units = _Units(unit, normalise, vocabulary)
    skip = 1 if unit == "character" else 0  # the space before the first word
    pieces, sentences = [], 0
    for line in lines:
        sentence = list(chain.from_iterable(map(units.__getitem__, _parts(line))))[skip:]
        if sentence:
            pieces.append(np.array([1, *sentence, 2], np.int32))
            sentences += 1
    if not sentences:
        raise LanguageModelError(f"{source}: no words; expected one sentence per line")
    names = list(units.numbers)
    ranks = sorted(range(len(SPECIAL), len(names)), key=names.__getitem__)
    moved = np.arange(len(names), dtype=np.int32)
    moved[ranks] = np.arange(len(SPECIAL), len(names), dtype=np.int32)
    numbers = moved[np.concatenate(pieces)]
    unknown = int(np.count_nonzero(numbers == 0))
    return Corpus((*SPECIAL, *(names[rank] for rank in ranks)), numbers, sentences, unknown)


def count_ngrams(corpus: Corpus, order: int) -> list[Level]:
    """The n-grams of orders 1 to `order` that lie within a sentence; fewer orders when the longest
    sentence is shorter than that."""
    numbers, size = corpus.numbers, len(corpus.words)
    number = np.arange(size, dtype=np.int32)
    zeros = np.zeros(size, np.int32)
    count = np.bincount(numbers, minlength=size)
    levels = [Level(zeros, zeros, number, count, number == 1)]
    place = numbers  # the n-gram of the order below that begins at each position
    begins = np.arange(len(numbers))
    for k in range(2, order + 1):
        begins = begins[begins + k - 1 < len(numbers)]
        begins = begins[numbers[begins + k - 2] != 2]  # </s> ends an n-gram
        if not len(begins):
            break
        key = place[begins].astype(np.int64) * size + numbers[begins + k - 1]
        ranks = np.argsort(key)
        key = key[ranks]
        new = np.concatenate([[True], key[1:] != key[:-1]])
        firsts = np.flatnonzero(new)
        example = begins[ranks[firsts]]  # a position of each
        parent = place[example]
        levels.append(
            Level(
                parent,
                place[example + 1],
                numbers[example + k - 1],
                np.diff(np.append(firsts, len(key))),
                levels[-1].starts[parent],
            )
        )
        place = np.full(len(numbers), -1, np.int32)
        place[begins[ranks]] = np.cumsum(new) - 1
    return levels
