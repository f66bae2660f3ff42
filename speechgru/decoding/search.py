"""The compiled core of beam search: from one frame to the next.

The acoustic score of a hypothesis is the probability of all paths of tokens and blanks that
collapse to its prefix, in two parts: paths that end in a blank, and paths that end in the last
token (Graves & Jaitly 2014, ICML, "Towards end-to-end speech recognition with recurrent neural
networks", algorithm 1; Hannun et al. 2014, arXiv 1408.2873). All else is a function of the prefix
alone: the states of lexicon, language model and hot words, and their scores.

Prefixes are nodes of a tree, so two hypotheses are the same if and only if their node is. An
extension is a new hypothesis or, when its node is in the beam already, a term of that one's sum.
"""

import numpy as np

from speechgru.decoding.hotwords import follow
from speechgru.decoding.prefixes import add_prefix
from speechgru.decoding.state import (
    CHARACTERS,
    FREE,
    NO_WORD,
    OPEN,
    SPELLED,
    UNKNOWN_WORD,
    WORDS,
    Graph,
)
from speechgru.decoding.trie import Records, find_child
from speechgru.jit import compiled, inlined, inner
from speechgru.lm.ngram import Doubles, Floats, Ints, step

NOWHERE = -1  # child of the lexicon: no word continues like this


@compiled
def advance(
    log_probs: Floats, graph: Graph, beam: Records, size: int, prefixes: Records, table: Ints,
    nodes: int, candidates: Records,
) -> tuple[int, int, int]:  # fmt: skip
    """Search through frames until they end or the tree of prefixes is nearly full.

    Returns (frames read, hypotheses in the beam, nodes in the tree).
    """
    tokens = np.zeros(log_probs.shape[1], np.int32)
    kept = np.zeros(len(beam), np.int32)
    for frame in range(len(log_probs)):
        if nodes + len(beam) > len(prefixes):
            return frame, size, nodes
        row = log_probs[frame]
        count = 0
        for token in range(1, len(row)):
            if row[token] >= graph.weights.token:
                tokens[count] = token
                count += 1
        if count == 0:  # only a blank is possible, as in most frames
            for i in range(size):
                beam[i].blank = log_add(beam[i].blank, beam[i].label) + row[0]
                beam[i].label = -np.inf
            continue
        limit = _stay(graph, row, beam, size, prefixes, candidates) - graph.weights.beam
        made = size
        for i in range(size):
            gain = max(0.0, graph.weights.word) + graph.hot[beam[i].hot].gain
            least = limit - beam[i].extra - gain  # to be worth a closer look
            for token in tokens[:count]:
                acoustic = _before(beam, i, token) + row[token]
                if acoustic >= least and acoustic > -np.inf:
                    made = _extend(graph, acoustic, token, i, limit, beam, candidates, made)
        size = _select(graph, candidates[:made], kept)
        nodes = _replace(beam, prefixes, table, nodes, candidates, kept[:size])
    return len(log_probs), size, nodes


@inner
def log_add(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + np.log1p(np.exp(b - a))


@inner
def _stay(
    graph: Graph, row: Floats, beam: Records, size: int, prefixes: Records, candidates: Records
) -> float:
    """The same prefixes after one more frame: a blank, the last token again, or the last token
    after the prefix without it. Returns the best total, as `_select` compares it."""
    best = -np.inf
    for i in range(size):
        beam[i].longer = -1
        beam[i].both = log_add(beam[i].blank, beam[i].label)
    for i in range(size):
        parent = prefixes[beam[i].prefix].parent
        shorter = prefixes[parent].place if parent >= 0 else -1
        candidates[i] = beam[i]
        new, token = candidates[i], beam[i].token
        new.blank = beam[i].both + row[0]
        if token >= 0:
            new.label = beam[i].label + row[token]
        if shorter >= 0:
            new.label = log_add(new.label, _before(beam, shorter, token) + row[token])
            beam[i].next = beam[shorter].longer
            beam[shorter].longer = i
        new.total = log_add(new.blank, new.label) + new.extra + new.pending
        best = max(best, new.total - graph.hot[new.hot].pending)
    return best


@inner
def _before(beam: Records, i: int, token: int) -> float:
    """Probability of the paths of a hypothesis after which `token` is a new one: between two equal
    tokens there must be a blank."""
    return beam[i].blank if beam[i].token == token else beam[i].both


@inlined
def _extend(
    graph: Graph, acoustic: float, token: int, i: int, limit: float, beam: Records,
    candidates: Records, made: int,
) -> int:  # fmt: skip
    """Add the candidates that are one token longer than hypothesis i; returns their number."""
    state = beam[i].spelling
    first, last, goes_on = 0, 0, 0  # words `first` to `last` end before the token, or one continues
    begins = 0  # the state of a word that begins with the token, or after it
    if graph.lexicon != FREE:
        ends = graph.starts[token]
        if ends and state == 0:
            if token == graph.space:
                return made  # a space after a space
            ends = False  # the first word begins
        goes_on, spelled = NOWHERE, True
        if state != SPELLED:
            spelled = graph.tree[state].spaced == 0  # unknown words have no spaces
            goes_on = find_child(graph.tree, state, token)
            if ends:
                first, last = graph.tree[state].word, graph.tree[state + 1].word
        if graph.lexicon == OPEN and spelled:
            if ends and first == last:
                first, last = UNKNOWN_WORD, UNKNOWN_WORD + 1
            elif not ends and goes_on == NOWHERE:
                goes_on = SPELLED
        if ends and token != graph.space:
            begins = find_child(graph.tree, 0, token)
            if begins == NOWHERE and graph.lexicon == OPEN:
                begins = SPELLED
            elif begins == NOWHERE:
                first = last
    if first == last and goes_on == NOWHERE:
        return made
    hot, done = _follow_hot(graph, beam[i].hot, token)
    for choice in range(first, last + 1):
        word, spelling = (choice, begins) if choice < last else (NO_WORD, goes_on)
        if spelling == NOWHERE or _is_in_beam(beam, i, token, word):
            continue
        new = candidates[made]
        new.prefix, new.token, new.word, new.spelling = beam[i].prefix, token, word, spelling
        new.blank, new.label, new.hot, new.lm = -np.inf, acoustic, hot, beam[i].lm
        new.extra = beam[i].extra + done
        value = 0.0
        if graph.model == CHARACTERS:
            value, new.lm = step(graph.tables, new.lm, graph.token_numbers[token])
        if graph.lexicon == FREE:
            new.extra += graph.weights.word
        elif word != NO_WORD:
            more, new.lm, other = end_word(graph, new.lm, word)
            value, new.extra = value + more, new.extra + other
        new.extra += graph.weights.lm * value
        new.lm_score = beam[i].lm_score + value
        new.pending = graph.hot[hot].pending + _expected(graph, spelling)
        new.total = acoustic + new.extra + new.pending
        made += new.total >= limit
    return made


@inlined
def _follow_hot(graph: Graph, hot: int, token: int) -> tuple[int, float]:
    """The state of the hot words after a token, and the credit of phrases that end at it, or before
    the word that begins with it."""
    done = 0.0
    if graph.starts[token] and token != graph.space:
        hot = follow(graph.hot, hot, graph.boundary)
        done = graph.hot[hot].done
    hot = follow(graph.hot, hot, token)
    return hot, done + graph.hot[hot].done


@inlined
def _is_in_beam(beam: Records, i: int, token: int, word: int) -> bool:
    """Whether hypothesis i and one token more is in the beam: then `_stay` counted its paths."""
    other = beam[i].longer
    while other >= 0:
        if beam[other].token == token and beam[other].word == word:
            return True
        other = beam[other].next
    return False


@inlined
def end_word(graph: Graph, lm: int, word: int) -> tuple[float, int, float]:
    """At the end of a word: (score of a word model, its state, other scores)."""
    value, other = 0.0, graph.weights.word
    if word == UNKNOWN_WORD:
        other -= graph.weights.unknown
    if graph.model == WORDS:
        value, lm = step(graph.tables, lm, graph.numbers[word] if word >= 0 else 0)
    return value, lm, other


@inlined
def _expected(graph: Graph, spelling: int) -> float:
    """The score of an unfinished word, were it the most probable one that begins so."""
    if graph.lexicon == FREE or spelling == 0:
        return 0.0
    weights = graph.weights
    unknown = weights.lm * graph.unknown - weights.unknown
    if spelling == SPELLED:
        return weights.word + unknown
    known = weights.lm * graph.tree[spelling].best
    if graph.lexicon == OPEN and graph.tree[spelling].spaced == 0:
        known = max(known, unknown)
    return weights.word + known


@inner
def _select(graph: Graph, candidates: Records, kept: Ints) -> int:
    """Write the places of the best candidates to `kept`, in order; returns how many they are.

    Credit for phrases that are not complete is no reason to drop what has none.
    """
    totals = np.empty(len(candidates))
    best = -np.inf
    for place in range(len(candidates)):
        totals[place] = candidates[place].total
        best = max(best, totals[place] - graph.hot[candidates[place].hot].pending)
    limit, equals = best - graph.weights.beam, len(totals)
    if len(totals) > len(kept):
        last = _largest(totals.copy(), len(kept))
        if last >= limit:
            limit, equals = last, len(kept)
            for total in totals:
                equals -= total > limit
    count = 0
    for place in range(len(totals)):
        fits = totals[place] > limit
        if totals[place] == limit and equals > 0:  # of equal ones, the first
            fits, equals = True, equals - 1
        if fits and totals[place] > -np.inf:
            kept[count] = place
            count += 1
    return count


@inner
def _largest(values: Doubles, count: int) -> float:
    """The smallest of the `count` largest values, reordering them (Hoare 1961, CACM 4(7), "Find").
    numpy.partition would do, but takes longer to compile than all the rest."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot, i, j = values[(low + high) >> 1], low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if count - 1 <= j:
            high = j
        elif count - 1 >= i:
            low = i
        else:
            break
    return values[count - 1]


@inner
def _replace(
    beam: Records, prefixes: Records, table: Ints, nodes: int, candidates: Records, kept: Ints
) -> int:
    """Make candidates the beam; returns the number of nodes in the tree of prefixes.

    The first candidates are the hypotheses themselves, in order; then come those that are longer.
    """
    size = 0
    while size < len(beam) and beam[size].prefix >= 0:
        prefixes[beam[size].prefix].place = -1
        size += 1
    for i, place in enumerate(kept):
        beam[i] = candidates[place]
        if place >= size:
            new = add_prefix(prefixes, table, nodes, beam[i].prefix, beam[i].token, beam[i].word)
            nodes += new == nodes
            beam[i].prefix = new
        prefixes[beam[i].prefix].place = i
    for i in range(len(kept), size):
        beam[i].prefix = -1
    return nodes
