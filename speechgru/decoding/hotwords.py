"""Phrases that a decoder should prefer.

Design choices
- All phrases are one automaton (Aho & Corasick 1975, CACM 18(6), "Efficient string matching: an
  aid to bibliographic search"), so the cost does not grow with their number.
- A phrase earns its boost per character, as the characters come: at its end it would be too late,
  the beam may have lost it by then. Credit for a phrase that is not completed is withdrawn.
- Phrases are whole words: they begin and end at a space or at an end of the utterance. A first or
  last character of a script that has no space between words needs none beside it, nor does any in
  a model without a space.
"""

import math
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from speechgru.decoding.trie import Records, build_trie, find_child
from speechgru.errors import LanguageModelError
from speechgru.jit import compiled, inner
from speechgru.lm.ngram import Doubles, Ints
from speechgru.lm.text import read_lines

DEFAULT_BOOST = 1.0  # natural log units per character
MAX_BOOST = 100.0  # far more than any acoustic evidence

# A state of the automaton; state 0 has matched nothing, the others are prefixes of phrases.
STATE = np.dtype(
    [
        ("token", np.int32),  # as in build_trie, and so is
        ("first", np.int32),
        ("fail", np.int32),  # the longest proper suffix that is a state
        ("done", np.float64),  # credit of all phrases that end here
        ("pending", np.float64),  # credit for the phrase that is being matched
        ("gain", np.float64),  # at most this is `done` plus `pending` after one more token
    ],
    align=True,
)


_PATH = re.compile(  # rather a file than a phrase
    r"(?:[A-Za-z]:[/\\]|~?/|\.{1,2}/)[^\s,]*|[^\s,]+\.(?:txt|csv|tsv|lst|list|words)", re.IGNORECASE
)

_TIME = re.compile(r"\d:[0-5]\d$")
_SEPARATORS = re.compile("[,;\n，；、،؛]")

_UNSPACED = {  # Unicode names; ー is KATAKANA-HIRAGANA, 々 and 〇 are IDEOGRAPHIC
    "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "THAI", "LAO", "KHMER",
    "MYANMAR",
}  # fmt: skip


def read_hotwords(source: str | Path, normalise: Callable[[str], str]) -> dict[str, float]:
    """Phrases and their boosts per character, from a file (a phrase per line; lines that begin with
    # are skipped) or from text (phrases separated by commas, semicolons or line breaks, commas of
    other scripts too). A phrase may end in `:BOOST`; DEFAULT_BOOST otherwise.

    Raises LanguageModelError: no phrase, a phrase without letters, a boost that is not above 0 and
    at most MAX_BOOST, or a time such as 10:30, whose minutes would be a boost.
    """
    is_file = os.path.isfile(source)
    if not is_file and _PATH.fullmatch(str(source)):
        raise LanguageModelError(
            f"{source}: no such file; expected a file with one phrase per line, or phrases "
            "separated by commas"
        )
    lines = list(read_lines([source])) if is_file else _SEPARATORS.split(str(source))
    lines = [line.strip().replace("：", ":") for line in lines]
    lines = [line for line in lines if not (is_file and line.startswith("#"))]
    phrases: dict[str, float] = {}
    for line in filter(None, lines):
        text, colon, number = line.rpartition(":")
        try:
            boost = float(number) if colon else DEFAULT_BOOST
        except ValueError:
            boost = math.nan
        if not 0 < boost <= MAX_BOOST:
            raise LanguageModelError(
                f"hot word {line!r:.60}: expected PHRASE or PHRASE:BOOST with a boost above 0 and "
                f"at most {MAX_BOOST:g}"
            )
        if _TIME.search(line):
            raise LanguageModelError(
                f"hot word {line!r:.60}: a time, or a boost of {boost:g}? Write a time in words, "
                f"as it is spoken, or the boost as {boost:.1f}"
            )
        phrase = normalise(text if colon else line)
        if not phrase:
            raise LanguageModelError(f"hot word {line!r:.60} has no letters or digits")
        phrases[phrase] = boost
    if not phrases:
        expected = "one phrase per line" if is_file else "phrases separated by commas"
        raise LanguageModelError(f"{source}: no hot words; expected {expected}")
    return phrases


def is_unspaced(word: str) -> bool:
    """Whether it has a character of a script without space between words.

    >>> is_unspaced("東京"), is_unspaced("สวัสดี"), is_unspaced("서울")
    (True, True, False)
    """
    return any(unicodedata.name(char, "").partition(" ")[0] in _UNSPACED for char in word)


def build_automaton(
    phrases: Mapping[tuple[int, ...], float],
    boundary: int,
    lengths: Sequence[int] = (),
    unspaced: Mapping[tuple[int, ...], tuple[bool, bool]] | None = None,
) -> Records:
    """An automaton of token sequences and their boosts per character, (states + 1,) of STATE.

    Args:
        boundary: the token that must come before and after a phrase; -1 for none.
        unspaced: whether a phrase needs no boundary before it, and none after it.
        lengths: where words begin with tokens that begin with a space, the characters of each
            token; 0 for `boundary`, which comes before each of those tokens. Otherwise, tokens are
            single characters.
    """
    edge, unspaced = () if boundary < 0 else (boundary,), unspaced or {}
    bounded = []
    for phrase in phrases:
        before, after = (() if free else edge for free in unspaced.get(phrase, (False, False)))
        bounded.append((*before, *phrase, *after))
    token, first, parent, end = build_trie(bounded)
    boosts = np.array(list(phrases.values()), np.float64)
    length = np.array(lengths or [1] * (1 + token.max(initial=0)), np.float64)
    letters = np.array([length[list(phrase)].sum() for phrase in phrases]) - bool(lengths)
    hot = np.zeros(len(token) + 1, STATE)
    hot["token"][:-1], hot["first"] = token, first
    hot["done"][end] = boosts * letters
    rate = np.zeros(len(token))
    np.maximum.at(rate, parent[end], boosts)
    if phrases:
        added = length[token]
        added[(parent == 0) & (token == boundary)] = 0
        _connect(hot, parent, rate, added, bool(lengths), boundary)
    return hot


@inner
def follow(hot: Records, state: int, token: int) -> int:
    """The state after one more token."""
    found = find_child(hot, state, token)
    while found < 0 and state > 0:
        state = hot[state].fail
        found = find_child(hot, state, token)
    return max(found, 0)


@compiled
def _connect(
    hot: Records, parent: Ints, rate: Doubles, length: Doubles, by_word: bool, boundary: int
) -> None:
    """Find the suffixes and credits of all states.

    Args:
        rate: (states,) the boost of the phrases that end one token later, 0 for none.
        length: (states,) characters of the last token, 0 for the boundary before a phrase.
        by_word: whether words begin with tokens that begin with a space, which earns no credit
            before a phrase, and the boundary may come before any other token in one step.
    """
    depth = np.zeros(len(parent))
    depth[0] = -by_word
    for state in range(len(parent) - 1, 0, -1):  # children come after their parents
        rate[parent[state]] = max(rate[parent[state]], rate[state])
    for state in range(1, len(parent)):
        depth[state] = depth[parent[state]] + length[state]
        if parent[state] > 0:
            hot[state].fail = follow(hot, hot[parent[state]].fail, hot[state].token)
        suffix = hot[state].fail
        hot[state].done += hot[suffix].done
        hot[state].pending = max(rate[state] * depth[state], hot[suffix].pending)
    for state in range(len(parent)):
        hot[state].gain = hot[hot[state].fail].gain if state else 0.0
        for longer in range(hot[state].first, hot[state + 1].first):
            hot[state].gain = max(hot[state].gain, hot[longer].done + hot[longer].pending)
    if by_word:
        for state in range(len(parent) - 1, -1, -1):
            word = follow(hot, state, boundary)
            hot[state].gain = max(hot[state].gain, hot[word].done + hot[word].gain)
