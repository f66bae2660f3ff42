"""Probabilities from n-gram counts: interpolated modified Kneser–Ney, or Witten–Bell.

Design choices
- Modified Kneser–Ney (Chen & Goodman 1999, Computer Speech & Language 13, "An empirical study of
  smoothing techniques for language modeling", section 3): p(w|h) = (c - D(c)) / c(h) + γ(h) p(w|h')
  with three discounts per order from the numbers of n-grams that occur once to four times, and with
  counts of distinct predecessors in place of occurrences below the highest order.
- Small texts often lack n-grams of those counts: ten words said a thousand times each give no
  discount at all. Such an order falls back to Witten–Bell (Witten & Bell 1991, IEEE Trans. IT
  37(4), method C; interpolated): p(w|h) = (c + t p(w|h')) / (c(h) + t), with t the number of
  distinct words after h. So no text is too small.
- Predecessor counts belong to Kneser–Ney alone: an order below a Witten–Bell order keeps
  occurrences.
- Unigrams are interpolated with the uniform distribution over all words, `</s>` and `<unk>`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from speechgru.errors import LanguageModelError
from speechgru.lm.counting import Corpus, Level, count_ngrams
from speechgru.lm.ngram import IMPOSSIBLE, MAX_ORDER, Doubles, NGram, Unit, link
from speechgru.lm.pruning import keep_nodes, prune_by_entropy

Smoothing = Literal["kneser-ney", "witten-bell"]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trained:
    """A model, and how each order was smoothed, (order,)."""

    model: NGram
    smoothing: tuple[Smoothing, ...]


def train(
    corpus: Corpus, order: int, unit: Unit, min_count: int = 1, entropy: float = 0.0
) -> Trained:
    """A back-off model of a corpus.

    Args:
        order: of the longest n-grams; less when no sentence is that long.
        min_count: n-grams of two or more words that occur less often are removed.
        entropy: n-grams are removed that raise the perplexity by less than this fraction.
    """
    if not 1 <= order <= MAX_ORDER:
        raise LanguageModelError(f"order {order}: expected 1 to {MAX_ORDER}")
    levels = count_ngrams(corpus, order)
    smoothing: list[Smoothing] = []
    discounts: list[Doubles | None] = []
    counts: list[Counts] = []
    for level, above in zip(levels[::-1], [None, *levels[:0:-1]], strict=True):
        count = level.count
        if above is not None and smoothing[0] == "kneser-ney":
            predecessors = np.bincount(above.suffix, minlength=len(count))
            count = np.where(level.starts, count, predecessors)
        if level is levels[0]:
            count = np.where(level.starts, 0, count)  # <s> is given, never predicted
        counts.insert(0, count)
        discounts.insert(0, found := _discounts(count))
        smoothing.insert(0, "witten-bell" if found is None else "kneser-ney")
    model = _model(corpus, unit, levels, counts, discounts)
    if min_count > 1:
        always = np.ones(1 + len(levels[0].word), np.bool_)
        enough = [level.count >= min_count for level in levels[1:]]
        model = keep_nodes(model, np.concatenate([always, *enough]))
    if entropy > 0:
        model = prune_by_entropy(model, entropy)
    return Trained(model, tuple(smoothing))


def _discounts(count: Counts) -> Doubles | None:
    """Of n-grams that occur once, twice, and more often, (3,); None where there are too few."""
    n1, n2, n3, n4 = np.bincount(np.clip(count, 0, 5), minlength=6)[1:5]
    if not (n1 and n2 and n3 and n4):
        return None
    y = n1 / (n1 + 2 * n2)
    found = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return found if np.all(found > 0) else None


def _model(
    corpus: Corpus,
    unit: Unit,
    levels: list[Level],
    counts: list[Counts],
    discounts: list[Doubles | None],
) -> NGram:
    size = len(corpus.words)
    below = np.full(1, 1 / (size - 1))  # uniform, <s> excluded
    log_probs, back_offs, children = [np.zeros(1)], [], []
    for level, count, discount in zip(levels, counts, discounts, strict=True):
        contexts = len(below)
        total = _sums(level, count, contexts)
        if discount is None:
            taken = np.zeros(len(count))
            spare = _sums(level, count > 0, contexts)  # left for words that do not follow
            total = total + spare
        else:
            taken = np.concatenate([[0.0], discount])[np.clip(count, 0, 3)]
            spare = _sums(level, taken, contexts)
        with np.errstate(invalid="ignore"):  # 0/0 in contexts that nothing follows
            spare, share = spare / total, (count - taken) / total[level.parent]
        if level is not levels[0]:
            back_offs.append(np.nan_to_num(np.log(spare), nan=0.0))
        below = share + spare[level.parent] * below[level.suffix]
        children.append(np.bincount(level.parent, minlength=contexts))
        log_probs.append(np.log(below))
    log_probs[1][1] = IMPOSSIBLE
    first = 1 + np.concatenate([[0], np.cumsum(np.concatenate(children))])
    return link(
        corpus.words,
        len(levels),
        unit,
        np.concatenate([[0], *(level.word for level in levels)]).astype(np.int32),
        np.concatenate(log_probs).astype(np.float32),
        np.concatenate([[0.0], *back_offs]).astype(np.float32),
        first.astype(np.int32),
    )


def _sums(level: Level, values: npt.NDArray[Any], contexts: int) -> Doubles:
    """The sum of an n-gram's values over each context, (contexts,)."""
    return np.bincount(level.parent, values, contexts).astype(np.float64)
