"""Alternatives and optional words, and their alignment; sums against a second implementation."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import ScoringError
from speechgru.scoring.align import align
from speechgru.scoring.graph import MAX_DEPTH, parse_graph, plain_graph


def readings(graph):
    """All texts of a graph, without null words, optional ones in parentheses."""
    paths = {0: [[]]}
    for number, (word, kind, before) in enumerate(
        zip(graph.words, graph.kinds, graph.before, strict=True), 1
    ):
        added = ([], [], [])[kind] or [[word], [], [f"({word})"]][kind]
        paths[number] = [path + added for each in before for path in paths[each]]
    return [" ".join(path) for end in graph.ends for path in paths[end]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("a b", ["a b"]),
        ("a { um / uh / @ } b", ["a um b", "a uh b", "a b"]),
        ("{a b/c}d", ["a b d", "c d"]),
        ("{ a / { b / c } d } { e / f }", ["a e", "b d e", "c d e", "a f", "b d f", "c d f"]),
        ("a (b) (c d)", ["a (b) (c d)"]),  # one optional word, and two words with parentheses
        ("a;tag;tag b* * \\;c @", ["a b * ;c"]),
        ("a / } b", ["a / } b"]),
    ],
)
def test_readings(text, expected):
    assert readings(parse_graph(text)) == expected


@pytest.mark.parametrize("text", ["a { b", "a{b/c}", "{ a / }", "{}", "a ;b", "{" * 99 + "}" * 99])
def test_malformed_alternatives_are_refused(text):
    with pytest.raises(ScoringError):
        parse_graph(text)


def test_alternatives_may_be_nested():
    text = "{ " * MAX_DEPTH + "a" + " / b }" * MAX_DEPTH
    assert len(readings(parse_graph(text))) == MAX_DEPTH + 1


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a c", "a:a b:-D c:c"),
        ("a { um / uh / @ } b", "a b", "a:a b:b"),
        ("a { um / uh / @ } b", "a uh b", "a:a uh:uh b:b"),
        ("a { um / uh } b", "a b", "a:a um:-D b:b"),
        ("a (b) c", "a c", "a:a (b):- c:c"),
        ("a (b) c", "a b c", "a:a b:b c:c"),
        ("a c", "a (b) c", "a:a -:(b) c:c"),
        ("a b", "x a", "-:xI a:a b:-D"),  # 6, rather than two substitutions for 8
    ],
)
def test_alignments_by_hand(reference, hypothesis, expected):
    steps = align(parse_graph(reference), parse_graph(hypothesis))
    assert (
        " ".join(f"{s.reference or '-'}:{s.hypothesis or '-'}{s.mark}" for s in steps) == expected
    )


def cheapest(reference, hypothesis):
    """The cost of the best alignment: 4 per substitution, 3 per insertion or deletion."""
    cost = {(0, 0): 0}
    for i, j in itertools.product(range(len(reference) + 1), range(len(hypothesis) + 1)):
        ways = [cost[0, 0]] if i == j == 0 else []
        ways += [cost[i - 1, j] + 3] if i else []
        ways += [cost[i, j - 1] + 3] if j else []
        if i and j:
            ways.append(cost[i - 1, j - 1] + 4 * (reference[i - 1] != hypothesis[j - 1]))
        cost[i, j] = min(ways)
    return cost[len(reference), len(hypothesis)]


texts = st.lists(st.sampled_from("abcd"), max_size=9)


@given(texts, texts)
@settings(max_examples=100)
def test_alignments_are_complete_and_cheapest(reference, hypothesis):
    steps = align(plain_graph(reference), plain_graph(hypothesis))
    assert [s.reference for s in steps if s.reference] == reference
    assert [s.hypothesis for s in steps if s.hypothesis] == hypothesis
    assert all((s.reference == s.hypothesis) == (s.mark == "") for s in steps)
    cost = sum({"": 0, "S": 4, "D": 3, "I": 3}[s.mark] for s in steps)
    assert cost == cheapest(reference, hypothesis)
    numbers = [s.number for s in steps]
    assert numbers == sorted(numbers)


def test_texts_too_long_to_align_are_refused(monkeypatch):
    monkeypatch.setattr("speechgru.scoring.align.MAX_CELLS", 100)
    align(plain_graph("a" * 9), plain_graph("a" * 9))
    with pytest.raises(ScoringError, match="10 and 9 words"):
        align(plain_graph("a" * 10), plain_graph("a" * 9))
