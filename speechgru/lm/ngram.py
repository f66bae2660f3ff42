"""A back-off n-gram model as flat arrays, and the compiled look-ups in it.

Design choices
- The model is an automaton (Allauzen, Mohri & Roark 2003, ACL, "Generalized algorithms for
  constructing statistical language models"). A node is an n-gram; node 0 is the empty one. A
  context reads a word by going to its child with that word or, where there is none, by paying its
  back-off weight and asking its longest proper suffix. So a decoder keeps one number per
  hypothesis, whatever the order of the model.
- Nodes are numbered by order, then by parent, then by word: the children of a node are a range,
  found by binary search, and unigram w is node w + 1.
- After reading a word, the automaton stays in the shortest context that predicts the same future,
  so that hypotheses meet as early as possible.
- All scores are natural logarithms.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from speechgru.errors import LanguageModelError
from speechgru.jit import compiled, inner

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Unit = Literal["word", "character"]

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
SPACE = "<space>"  # how a character model writes the space between words
IMPOSSIBLE = -99.0 * float(np.log(10))  # ARPA's way to write that <s> is never predicted
MAX_ORDER = 20


class Tables(NamedTuple):
    """The arrays of a model with N nodes, C of them contexts (all but the highest order)."""

    word: Ints  # (N,) last word of the n-gram
    log_prob: Floats  # (N,) of that word after the others
    back_off: Floats  # (C,) weight for words that are no child
    first: Ints  # (C + 1,) the children of node i are first[i] to first[i + 1]
    suffix: Ints  # (N,) the n-gram without its first word, or the longest suffix there is
    state: Ints  # (N,) where the automaton is after this n-gram


@dataclass(frozen=True)
class NGram:
    """An n-gram model. `words[0]` is the unknown word; `tables` is what compiled code reads."""

    words: tuple[str, ...]
    order: int
    unit: Unit
    tables: Tables = field(repr=False)
    numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = {word: number for number, word in enumerate(self.words)}
        object.__setattr__(self, "numbers", numbers)

    @property
    def start(self) -> int:
        """The state at the start of a sentence."""
        number = self.numbers.get(START)
        return 0 if number is None else int(self.tables.state[1 + number])

    @property
    def end(self) -> int:
        """The number of the word that ends a sentence; -1 when the model has none."""
        return self.numbers.get(END, -1)

    @property
    def size(self) -> int:
        """How many words (or characters) it predicts, special ones excluded."""
        return sum(word not in (START, END, UNKNOWN) for word in self.words)

    def number(self, word: str) -> int:
        """The word's number; 0 (the unknown word) when the model does not have it."""
        return self.numbers.get(word, 0)

    def in_normal_form(self, normalise: Callable[[str], str]) -> "NGram":
        """The same with its words (or characters) as text is normalised, except where it has that
        form, too: a model of text in capitals, say, has no word of text in lower case."""
        words: list[str] = []
        taken = set(self.words)
        for word in self.words:
            form = "" if word in (START, END, UNKNOWN, SPACE) else normalise(word)
            words.append(word if not form or form in taken else form)
            taken.add(form)
        return replace(self, words=tuple(words))

    def scores(self, words: Iterable[str], start: bool = True, end: bool = True) -> Doubles:
        """Natural log probability of each word of a sentence, and of its end, (words + 1,)."""
        numbers = [self.number(word) for word in words]
        if end and self.end >= 0:
            numbers.append(self.end)
        state = self.start if start else 0
        return scores(self.tables, state, np.array(numbers, np.int32))  # type: ignore[no-any-return]

    def counts(self) -> list[int]:
        """How many n-grams of each order there are, (order,)."""
        return np.diff(self.levels()).tolist()

    def levels(self) -> list[int]:
        """The first node of each order, and the number of nodes, (order + 1,)."""
        begins = [1]
        for _ in range(self.order - 1):
            begins.append(int(self.tables.first[begins[-1]]))
        return [*begins, len(self.tables.word)]

    def parents(self) -> Ints:
        """The node of each n-gram without its last word, (N,); -1 for node 0."""
        children = np.diff(self.tables.first)
        parents = np.repeat(np.arange(len(children), dtype=np.int32), children)
        return np.concatenate([np.array([-1], np.int32), parents])


def link(
    words: Sequence[str], order: int, unit: Unit,
    word: Ints, log_prob: Floats, back_off: Floats, first: Ints,
) -> NGram:  # fmt: skip
    """A model from its nodes in order (see Tables); finds their suffixes and states."""
    suffix, state = np.zeros(len(word), np.int32), np.zeros(len(word), np.int32)
    tables = Tables(word, log_prob, back_off, first, suffix, state)
    _link(tables)
    return NGram(tuple(words), order, unit, tables)


def from_ngrams(
    words: Sequence[str], unit: Unit, orders: Sequence[tuple[Ints, Floats, Floats]]
) -> NGram:
    """A model from (n-grams (count, order), log probabilities, back-off weights) of each order.

    n-grams may come in any order. A prefix that is missing is added with the probability that
    backing off gives it, so the model stays the same.

    Raises LanguageModelError when an n-gram occurs twice, or a word has no unigram.
    """
    sizes = [len(ngrams) for ngrams, _, _ in orders]
    contexts = 1 + sum(sizes[:-1])
    word = np.zeros(1 + sum(sizes), np.int32)
    log_prob = np.zeros(len(word), np.float32)
    back_off, first = np.zeros(contexts, np.float32), np.ones(contexts + 1, np.int32)
    begin, previous = 1, 0  # of this order and of the one below
    for ngrams, probabilities, weights in orders:
        end = begin + len(ngrams)
        parent = _nodes(word, first, ngrams)
        if np.any(parent < 0):
            return from_ngrams(words, unit, _with_prefixes(len(words), orders))
        key = parent.astype(np.int64) * len(words) + ngrams[:, -1]
        ranks = np.argsort(key, kind="stable")
        key = key[ranks]
        if (twice := np.flatnonzero(key[1:] == key[:-1])).size:
            again = " ".join(words[number] for number in ngrams[ranks[twice[0]]])
            raise LanguageModelError(
                f"the {ngrams.shape[1]}-gram {again!r:.80} occurs twice; remove one"
            )
        word[begin:end], log_prob[begin:end] = ngrams[ranks, -1], probabilities[ranks]
        if end <= contexts:
            back_off[begin:end] = weights[ranks]
        children = np.bincount(parent - previous, minlength=begin - previous)
        first[previous : begin + 1] = begin + np.concatenate([[0], np.cumsum(children)])
        first[begin + 1 :] = end  # no children yet
        begin, previous = end, begin
    return link(words, len(orders), unit, word, log_prob, back_off, first)


def _with_prefixes(
    size: int, orders: Sequence[tuple[Ints, Floats, Floats]]
) -> Sequence[tuple[Ints, Floats, Floats]]:
    """`orders` with every n-gram's prefixes among them; NaN marks a probability to be found."""
    filled = list(orders)
    for level in range(len(filled) - 1, 0, -1):
        here, (below, log_prob, back_off) = filled[level][0], filled[level - 1]
        missing = _missing(here[:, :-1], below, size)
        if len(missing):
            nothing = np.zeros(len(missing), np.float32)
            unset = np.full(len(missing), np.nan, np.float32)
            filled[level - 1] = (
                np.concatenate([below, missing]),
                np.concatenate([log_prob, unset]),
                np.concatenate([back_off, nothing]),
            )
    return filled


def _missing(prefixes: Ints, ngrams: Ints, size: int) -> Ints:
    """The distinct rows of `prefixes` that are no row of `ngrams`."""
    codes = np.zeros(len(prefixes) + len(ngrams), np.int64)
    for column in range(prefixes.shape[1]):
        key = codes * size + np.concatenate([prefixes[:, column], ngrams[:, column]])
        codes = np.unique(key, return_inverse=True)[1]
    own, there = codes[: len(prefixes)], codes[len(prefixes) :]
    known = np.zeros(int(codes.max(initial=-1)) + 1, bool)
    known[there] = True
    lacking, rows = np.unique(own[~known[own]], return_index=True)
    return prefixes[~known[own]][rows] if len(lacking) else prefixes[:0]


@inner
def child(label: Ints, first: Ints, node: int, wanted: int) -> int:
    """The child of a node with this label; -1 when there is none. Node i has the children first[i]
    to first[i + 1], sorted by label."""
    low, high = first[node], first[node + 1]
    while low < high:
        middle = (low + high) >> 1
        if label[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < first[node + 1] and label[low] == wanted else -1


@inner
def find(word: Ints, first: Ints, node: int, number: int) -> int:
    """The child of a context with this word; -1 when there is none."""
    return number + 1 if node == 0 else child(word, first, node, number)


@inner
def step(tables: Tables, state: int, number: int) -> tuple[float, int]:
    """(log probability of a word after `state`, the state after it)."""
    total = 0.0
    node = find(tables.word, tables.first, state, number)
    while node < 0:
        total += tables.back_off[state]
        state = tables.suffix[state]
        node = find(tables.word, tables.first, state, number)
    return total + tables.log_prob[node], tables.state[node]


@compiled
def scores(tables: Tables, state: int, numbers: Ints) -> Doubles:
    """Log probability of each word of a sequence that begins in `state`, (words,)."""
    found = np.zeros(len(numbers))
    for i, number in enumerate(numbers):
        found[i], state = step(tables, state, number)
    return found


@compiled
def _nodes(word: Ints, first: Ints, ngrams: Ints) -> Ints:
    """The node of each n-gram's prefix; -1 where there is none."""
    out = np.zeros(len(ngrams), np.int32)
    for row in range(len(ngrams)):
        node = 0
        for column in range(ngrams.shape[1] - 1):
            if node >= 0:
                node = find(word, first, node, ngrams[row, column])
        out[row] = node
    return out


@compiled
def _link(tables: Tables) -> None:
    """Fill in suffixes, states, and the probabilities that are NaN.

    Every n-gram comes after its prefix and its suffix, so both are complete when it is reached.
    """
    contexts = len(tables.back_off)
    for parent in range(contexts):
        for node in range(tables.first[parent], tables.first[parent + 1]):
            context, total, shorter = parent, 0.0, -1
            while shorter < 0 and context > 0:
                total += tables.back_off[context]
                context = tables.suffix[context]
                shorter = find(tables.word, tables.first, context, tables.word[node])
            suffix = max(shorter, 0)
            tables.suffix[node] = suffix
            if np.isnan(tables.log_prob[node]):
                tables.log_prob[node] = total + tables.log_prob[suffix]
            childless = node >= contexts or tables.first[node] == tables.first[node + 1]
            if childless and (node >= contexts or tables.back_off[node] == 0):
                tables.state[node] = tables.state[suffix]
            else:
                tables.state[node] = node
