"""Sequences of tokens as a tree in one flat array."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgru.jit import compiled, inner
from speechgru.lm.ngram import Ints

Records = npt.NDArray[Any]  # of a structured type


def build_trie(sequences: Sequence[tuple[int, ...]]) -> tuple[Ints, Ints, Ints, Ints]:
    """The tree of some token sequences: (token, first, parent, end).

    Node 0 is the root; nodes are numbered by depth, so children come after their parents. `token`
    leads to a node (nodes,); its children, sorted by token, are `first[i]` to `first[i + 1]`
    (nodes + 1,). Sequence i ends at node `end[i]`.
    """
    ranks = sorted(range(len(sequences)), key=sequences.__getitem__)
    lengths = np.array([len(sequences[rank]) for rank in ranks], np.int32)
    tokens = np.array([token for rank in ranks for token in sequences[rank]], np.int32)
    size = 1 + len(tokens)
    token, parent, depth = (np.zeros(size, np.int32) for _ in range(3))
    ends = np.zeros(len(ranks), np.int32)
    size = _insert(tokens, lengths, token, parent, depth, ends)
    by_depth = np.argsort(depth[:size], kind="stable")
    moved = np.empty(size, np.int32)
    moved[by_depth] = np.arange(size, dtype=np.int32)
    parent = moved[parent[by_depth]]
    children = np.bincount(parent[1:], minlength=size)
    first = np.concatenate([[1], 1 + np.cumsum(children)]).astype(np.int32)
    end = np.empty(len(ranks), np.int32)
    end[ranks] = moved[ends]
    return token[by_depth], first, parent, end


@inner
def find_child(tree: Records, node: int, token: int) -> int:
    """The child of a node in an array with the fields `token` and `first`; -1 for none."""
    low, high = tree[node].first, tree[node + 1].first
    while low < high:
        middle = (low + high) >> 1
        if tree[middle].token < token:
            low = middle + 1
        else:
            high = middle
    return low if low < tree[node + 1].first and tree[low].token == token else -1


@compiled
def _insert(tokens: Ints, lengths: Ints, token: Ints, parent: Ints, depth: Ints, ends: Ints) -> int:
    """Nodes in the order of a sorted list of sequences; returns how many there are."""
    size, begin = 1, 0
    path = np.zeros(1 + (lengths.max() if len(lengths) else 0), np.int32)
    known = 0  # path[:known + 1] leads to the end of the sequence before
    for row in range(len(lengths)):
        length = lengths[row]
        shared = 0
        while shared < min(known, length) and token[path[shared + 1]] == tokens[begin + shared]:
            shared += 1
        for place in range(shared, length):
            token[size], parent[size], depth[size] = tokens[begin + place], path[place], place + 1
            path[place + 1] = size
            size += 1
        known = length
        ends[row] = path[length]
        begin += length
    return size
