"""Aligning words as NIST's sclite does.

Design choices
- Of all alignments, sclite takes the cheapest: 4 for a substitution, 3 for a deletion or insertion,
  2 for an optional word that is missing, 0.001 for the null word `@`. So two insertions and two
  deletions around a word that is right win over three substitutions: the number of errors can be
  larger than the edit distance (jiwer, Kaldi), in which every error costs 1.
- One alignment serves every figure (WER, listings, confusions, MAPSSWE), so that they all agree
  with sclite's, its choice between equally cheap alignments included. That choice depends on the
  order of comparisons and on sums in single precision, which are therefore the same here.
- A reference and a hypothesis may both be graphs (`graph`): the cheapest pair of readings counts.

Source: NIST SCTK 2.4.10, src/sclite/net_dp.c and word.c.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechgru.errors import ScoringError
from speechgru.jit import compiled, inner
from speechgru.scoring.graph import NULL, OPTIONAL, WORD, WordGraph

CORRECT, SUBSTITUTION, DELETION, INSERTION = "", "S", "D", "I"  # marks of `AlignedWord`
MAX_CELLS = 300_000_000  # of the table of costs, 4 bytes each: some 17,000 by 17,000 words

_SUBSTITUTION, _GAP, _OPTIONAL = np.float32(4), np.float32(3), np.float32(2)
_NULL, _BOTH_NULL, _NOTHING = np.float32(0.001), np.float32(1), np.float32(0)
_INFINITY = np.float32(np.inf)


class AlignedWord(NamedTuple):
    """One step of an alignment."""

    reference: str  # "" if inserted
    hypothesis: str  # "" if deleted, or optional and missing
    mark: str  # CORRECT, SUBSTITUTION, DELETION or INSERTION
    number: int  # of the reference word in its graph; of the one before it, for an insertion


def align(reference: WordGraph, hypothesis: WordGraph) -> list[AlignedWord]:
    """The cheapest alignment of the cheapest readings. Null words are not in it.

    An optional word that is missing on the other side is CORRECT, as sclite counts it.

    Raises ScoringError: the texts are too long to be aligned.
    """
    if (len(reference.words) + 1) * (len(hypothesis.words) + 1) > MAX_CELLS:
        raise ScoringError(
            f"{len(reference.words):,} and {len(hypothesis.words):,} words are too long to align; "
            "expected at most some 17,000: score shorter utterances (stm references have segments)"
        )
    ids: dict[str, int] = {}
    steps = _best_path(_side(reference, ids), _side(hypothesis, ids))
    return [
        word
        for (row, column), (row_before, column_before) in zip(steps[1:], steps[:-1], strict=True)
        if (word := _step(reference, hypothesis, row, column, row_before, column_before))
    ]


def _step(
    reference: WordGraph,
    hypothesis: WordGraph,
    row: int,
    column: int,
    row_before: int,
    column_before: int,
) -> AlignedWord | None:
    """The step to a cell of the table from the one before it; None if only null words are in it."""
    ref, ref_kind = (reference.words[row - 1], reference.kinds[row - 1]) if row else ("", WORD)
    hyp, hyp_kind = (
        (hypothesis.words[column - 1], hypothesis.kinds[column - 1]) if column else ("", WORD)
    )
    if column == column_before:
        if ref_kind == NULL:
            return None
        if ref_kind == OPTIONAL:
            return AlignedWord(f"({ref})", "", CORRECT, int(row))
        return AlignedWord(ref, "", DELETION, int(row))
    if row == row_before:
        if hyp_kind == NULL:
            return None
        if hyp_kind == OPTIONAL:
            return AlignedWord("", f"({hyp})", CORRECT, int(row))
        return AlignedWord("", hyp, INSERTION, int(row))
    if ref_kind == hyp_kind == NULL:
        return None
    same = ref == hyp and NULL not in (ref_kind, hyp_kind)
    return AlignedWord(ref, hyp, CORRECT if same else SUBSTITUTION, int(row))


class _Side(NamedTuple):
    """A graph for the compiled functions. Element 0 of each array per word is the beginning."""

    ids: NDArray[np.int32]  # of the words' texts, (words + 1,)
    kinds: NDArray[np.int32]  # (words + 1,)
    first: NDArray[np.int32]  # where the predecessors of each word begin in `before`, (words + 2,)
    before: NDArray[np.int32]
    ends: NDArray[np.int32]


def _side(graph: WordGraph, ids: dict[str, int]) -> _Side:
    texts = [-1, *(ids.setdefault(word, len(ids)) for word in graph.words)]
    counts = [0, 0, *map(len, graph.before)]
    before = [number for numbers in graph.before for number in numbers]
    arrays = (texts, (WORD, *graph.kinds), np.cumsum(counts), before, graph.ends)
    return _Side(*(np.array(each, dtype=np.int32) for each in arrays))


@inner
def _gap_cost(kind: Any) -> Any:
    """Of a word without a counterpart."""
    if kind == NULL:
        return _NULL
    return _OPTIONAL if kind == OPTIONAL else _GAP


@inner
def _pair_cost(ref: Any, ref_kind: Any, hyp: Any, hyp_kind: Any) -> Any:
    if ref_kind == NULL or hyp_kind == NULL:
        return _BOTH_NULL if ref_kind == hyp_kind else _SUBSTITUTION
    return _NOTHING if ref == hyp else _SUBSTITUTION


@inner
def _cell(cost: Any, row: Any, column: Any, ref: Any, hyp: Any) -> Any:
    """Cost of a cell other than (0, 0), and the cell before it. In sclite's order, the first of
    equal ones wins; then a substitution wins over an insertion, and that over a deletion."""
    inserted = deleted = substituted = _INFINITY
    insert_from = delete_from = from_row = from_column = 0
    for j in hyp.before[hyp.first[column] : hyp.first[column + 1]]:
        if cost[row, j] < inserted:
            inserted, insert_from = cost[row, j], j
    for i in ref.before[ref.first[row] : ref.first[row + 1]]:
        if cost[i, column] < deleted:
            deleted, delete_from = cost[i, column], i
        for j in hyp.before[hyp.first[column] : hyp.first[column + 1]]:
            if cost[i, j] < substituted:
                substituted, from_row, from_column = cost[i, j], i, j
    substituted += _pair_cost(ref.ids[row], ref.kinds[row], hyp.ids[column], hyp.kinds[column])
    deleted += _gap_cost(ref.kinds[row])
    inserted += _gap_cost(hyp.kinds[column])
    if substituted <= deleted and substituted <= inserted and substituted < _INFINITY:
        return substituted, from_row, from_column
    if deleted < inserted:
        return deleted, delete_from, column
    return inserted, row, insert_from


@compiled
def _best_path(ref: _Side, hyp: _Side) -> Any:
    """Cells of the cheapest path from (0, 0) on, (steps + 1, 2)."""
    rows, columns = len(ref.ids), len(hyp.ids)
    cost = np.zeros((rows, columns), dtype=np.float32)
    for row in range(rows):
        for column in range(columns):
            if row or column:
                cost[row, column] = _cell(cost, row, column, ref, hyp)[0]
    best, row, column = _INFINITY, 0, 0
    for end in ref.ends:
        for other in hyp.ends:
            if cost[end, other] < best:
                best, row, column = cost[end, other], end, other
    path = np.empty((rows + columns, 2), dtype=np.int32)
    length = 0
    while True:
        path[length] = row, column
        length += 1
        if row == 0 and column == 0:
            return path[:length][::-1].copy()
        _, row, column = _cell(cost, row, column, ref, hyp)
