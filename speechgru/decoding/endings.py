"""The end of an utterance: which hypotheses are complete, and what they score."""

from typing import Any

import numpy as np

from speechgru.decoding.hotwords import follow
from speechgru.decoding.search import end_word, log_add
from speechgru.decoding.state import (
    FREE,
    NO_MODEL,
    NO_WORD,
    OPEN,
    SPELLED,
    UNKNOWN_WORD,
    Graph,
)
from speechgru.decoding.trie import Records
from speechgru.jit import compiled, inner
from speechgru.lm.ngram import step


@compiled
def find_endings(
    graph: Graph, beam: Records, size: int, prefixes: Records, endings: Records
) -> int:
    """Write the complete hypotheses to `endings`, of ENDING; returns how many they are."""
    count = 0
    for i in range(size):
        state = beam[i].spelling
        first, last = NO_WORD, NO_WORD + 1
        if graph.lexicon != FREE and state == 0:
            parent = prefixes[beam[i].prefix].parent
            if parent >= 0 and prefixes[parent].place >= 0:
                continue  # a part of the parent's ending
        elif graph.lexicon != FREE:
            first, last, spelled = 0, 0, True
            if state != SPELLED:
                first, last = graph.tree[state].word, graph.tree[state + 1].word
                spelled = graph.tree[state].spaced == 0
            if first == last and graph.lexicon == OPEN and spelled:
                first, last = UNKNOWN_WORD, UNKNOWN_WORD + 1
        for word in range(first, last):
            _end(graph, beam, size, prefixes, i, word, endings[count])
            count += endings[count].total > -np.inf
    return count


@inner
def _end(
    graph: Graph, beam: Records, size: int, prefixes: Records, i: int, word: int, ending: Any
) -> None:
    acoustic = log_add(beam[i].blank, beam[i].label)
    extra, value, lm = beam[i].extra, 0.0, beam[i].lm
    if word != NO_WORD:
        value, lm, other = end_word(graph, lm, word)
        extra += other
        for j in range(size):  # the same with a space at the end
            longer = prefixes[beam[j].prefix].parent == beam[i].prefix
            if longer and beam[j].word == word and beam[j].token == graph.space:
                acoustic = log_add(acoustic, log_add(beam[j].blank, beam[j].label))
    if graph.model != NO_MODEL and graph.end >= 0:
        value += step(graph.tables, lm, graph.end)[0]
    if graph.boundary >= 0:
        extra += graph.hot[follow(graph.hot, beam[i].hot, graph.boundary)].done
    ending.prefix, ending.word = beam[i].prefix, word
    ending.acoustic, ending.lm = acoustic, beam[i].lm_score + value
    ending.total = acoustic + extra + graph.weights.lm * value
