"""The tree of prefixes that a beam search has looked at, an array of PREFIX.

Node 0 is the empty prefix, and parents come before their children. A hash table finds the child of
a node: node + 1, or 0 where it is empty; its size is a power of two.
"""

import numpy as np

from speechgru.decoding.state import PREFIX
from speechgru.decoding.trie import Records
from speechgru.jit import compiled, inner
from speechgru.lm.ngram import Ints


def empty_prefixes(capacity: int) -> tuple[Records, Ints]:
    """(room for prefixes, their hash table)."""
    prefixes = np.full(capacity, -1, np.int32).repeat(4).view(PREFIX)
    return prefixes, np.zeros(1 << (2 * capacity - 1).bit_length(), np.int32)


@inner
def add_prefix(
    prefixes: Records, table: Ints, nodes: int, parent: int, token: int, word: int
) -> int:
    """The node of a prefix: an old one, or a new one, which is number `nodes`."""
    mask = np.uint64(len(table) - 1)
    code = np.uint64(parent) * np.uint64(0x9E3779B97F4A7C15)
    code = (code ^ np.uint64(token)) * np.uint64(0xBF58476D1CE4E5B9)
    code = (code ^ np.uint64(word + 2)) * np.uint64(0x94D049BB133111EB)
    place = np.int64((code ^ (code >> np.uint64(31))) & mask)
    while table[place]:
        node = table[place] - 1
        known = prefixes[node]
        if known.parent == parent and known.token == token and known.word == word:
            return node
        place = (place + 1) & np.int64(mask)
    table[place] = nodes + 1
    new = prefixes[nodes]
    new.parent, new.token, new.word, new.place = parent, token, word, -1
    return nodes


@compiled
def reachable(prefixes: Records, nodes: int, active: Ints) -> Ints:
    """(nodes,) the node that each node becomes when all that lead to no active one are removed; -1
    for those."""
    moved = np.full(nodes, -1, np.int32)
    moved[0] = 0
    moved[active] = 0
    for node in range(nodes - 1, 0, -1):
        if moved[node] == 0:
            moved[prefixes[node].parent] = 0
    count = 0
    for node in range(nodes):
        if moved[node] == 0:
            moved[node] = count
            count += 1
    return moved


@compiled
def copy_prefixes(old: Records, moved: Ints, new: Records, table: Ints) -> None:
    new[0].place = old[0].place
    for node in range(1, len(moved)):
        if moved[node] > 0:
            parent = moved[old[node].parent]
            add_prefix(new, table, moved[node], parent, old[node].token, old[node].word)
            new[moved[node]].place = old[node].place


@compiled
def path(prefixes: Records, node: int) -> tuple[Ints, Ints]:
    """The tokens of a prefix, and the words that they ended, (tokens,) each."""
    length, at = 0, node
    while at > 0:
        length, at = length + 1, prefixes[at].parent
    tokens, words = np.zeros(length, np.int32), np.zeros(length, np.int32)
    for place in range(length - 1, -1, -1):
        tokens[place], words[place] = prefixes[node].token, prefixes[node].word
        node = prefixes[node].parent
    return tokens, words
