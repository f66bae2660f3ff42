"""Removing n-grams from a model, so that it stays a probability distribution."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from speechgru.jit import compiled, inner
from speechgru.lm.ngram import END, START, Doubles, NGram, Tables, link, step

Mask = npt.NDArray[np.bool_]
TINY = 1e-6  # probability that is left for other words, below which rounding decides


def keep_nodes(model: NGram, kept: Mask) -> NGram:
    """The model without some n-grams, its back-off weights computed anew.

    Args:
        kept: (nodes,), with node 0, every unigram, and the prefixes of what is kept.
    """
    tables = model.tables
    contexts = len(tables.back_off)
    parents = model.parents()
    children = np.bincount(parents[1:][kept[1:]], minlength=contexts)
    levels = model.levels()
    order = max(1, sum(bool(kept[a:b].any()) for a, b in pairwise(levels)))
    inner = levels[order - 1]  # contexts of the new model, among the old nodes
    first = 1 + np.concatenate([[0], np.cumsum(children[:inner][kept[:inner]])])
    pruned = link(
        model.words, order, model.unit, tables.word[kept], tables.log_prob[kept],
        tables.back_off[:inner][kept[:inner]], first.astype(np.int32),
    )  # fmt: skip
    changed = np.bincount(parents[1:][~kept[1:]], minlength=contexts) > 0  # lost a word
    changed |= ~kept[tables.suffix[:contexts]]  # back off to a shorter suffix now
    _renormalise(pruned.tables, changed[:inner][kept[:inner]])
    return link(pruned.words, order, pruned.unit, *pruned.tables[:4])


def prune_by_entropy(model: NGram, threshold: float) -> NGram:
    """Without the n-grams whose removal alone raises the perplexity by less than the fraction
    `threshold` (Stolcke 1998, DARPA Broadcast News Workshop, "Entropy-based pruning of backoff
    language models"); prefixes of longer n-grams that remain are kept.

    The probability of a context is the model's own, which a Kneser–Ney model gives only roughly
    below its highest order (Chelba et al. 2010, Interspeech): small thresholds (1e-8) do little
    harm, for strong pruning compare the perplexity.
    """
    levels = model.levels()
    kept = np.ones(len(model.tables.word), np.bool_)
    chance = _chances(model.tables, model.numbers.get(START, -1), model.numbers.get(END, -1))
    for k in range(model.order - 1, 0, -1):  # contexts of the highest order first
        _mark(model.tables, chance, levels[k - 1], levels[k], float(threshold), kept)
    return keep_nodes(model, kept)


@inner
def _probability(tables: Tables, context: int, number: int) -> float:
    return math.exp(step(tables, context, number)[0])


@inner
def _left(tables: Tables, context: int) -> tuple[float, float]:
    """The probability of all words but the children of a context, after it and after its suffix."""
    own, lower = 1.0, 1.0
    for node in range(tables.first[context], tables.first[context + 1]):
        own -= np.exp(np.float64(tables.log_prob[node]))
        lower -= _probability(tables, tables.suffix[context], tables.word[node])
    return own, lower


@compiled
def _renormalise(tables: Tables, changed: Mask) -> None:
    """Back-off weights of the changed contexts, and of those whose suffix is changed."""
    for context in range(1, len(tables.back_off)):
        if not (changed[context] or changed[tables.suffix[context]]):
            continue
        changed[context] = True
        own, lower = _left(tables, context)
        if lower > TINY:
            tables.back_off[context] = np.log(max(own, TINY) / lower)


@compiled
def _chances(tables: Tables, start: int, end: int) -> Doubles:
    """Log probability of each context as a piece of text; `<s>` is as probable as `</s>`."""
    chance = np.zeros(len(tables.back_off))
    for parent in range(len(chance)):
        for node in range(tables.first[parent], min(tables.first[parent + 1], len(chance))):
            chance[node] = chance[parent] + tables.log_prob[node]
            if parent == 0 and tables.word[node] == start and end >= 0:
                chance[node] = tables.log_prob[1 + end]
    return chance


@compiled
def _mark(
    tables: Tables, chance: Doubles, begin: int, end: int, threshold: float, kept: Mask
) -> None:
    """Mark the n-grams to be removed after the contexts `begin` to `end`."""
    contexts = len(tables.back_off)
    for context in range(begin, end):
        own, lower = _left(tables, context)
        if own <= TINY or lower <= TINY:
            continue
        back_off = np.float64(tables.back_off[context])
        for node in range(tables.first[context], tables.first[context + 1]):
            needed = False
            if node < contexts:
                for child in range(tables.first[node], tables.first[node + 1]):
                    needed |= kept[child]
            if needed:
                continue
            log_prob = np.float64(tables.log_prob[node])
            probability = np.exp(log_prob)
            shorter = _probability(tables, tables.suffix[context], tables.word[node])
            new = np.log((own + probability) / (lower + shorter))  # back-off weight without it
            loss = probability * (np.log(shorter) + new - log_prob) + own * (new - back_off)
            if np.exp(-np.exp(chance[context]) * loss) - 1 < threshold:
                kept[node] = False
