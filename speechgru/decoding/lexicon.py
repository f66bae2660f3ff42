"""The words that a decoder may write, as a tree of their spellings.

A spelling is what the model writes; it may differ from the word ("7" is spelled "seven"), have
several words (homophones), and contain spaces. A word may have several spellings. Where the model
writes pieces of words, only the pieces into which the vocabulary splits a spelling are that word's.
"""

import logging
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from speechgru.decoding.trie import Records, build_trie
from speechgru.errors import LanguageModelError
from speechgru.jit import compiled
from speechgru.lm.ngram import END, SPACE, START, UNKNOWN, Ints, NGram
from speechgru.lm.text import is_manifest, read_bytes, read_lines
from speechgru.misspelt import similar_path
from speechgru.text import Vocabulary

log = logging.getLogger(__name__)
Normalise = Callable[[str], str]
Pairs = list[tuple[str, str]]  # (word, spelling)
_PHONES = re.compile(r"\S+\s+[A-Z]{1,3}[0-2]?(\s+[A-Z]{1,3}[0-2]?)+")


# A node of the tree of spellings
NODE = np.dtype(
    [
        ("token", np.int32),  # as in build_trie, and so is
        ("first", np.int32),
        ("word", np.int32),  # the words that end at node i are word[i] to word[i + 1]
        ("spaced", np.int32),  # whether there is a space between words on the way to it: 0 or 1
        ("best", np.float32),  # unigram log probability of the best word at or below
    ],
    align=True,
)


@dataclass(frozen=True)
class Lexicon:
    """Words, sorted by the node of the tree at which their spelling ends."""

    words: tuple[str, ...]
    spellings: tuple[str, ...]  # (words,)
    numbers: Ints = field(repr=False)  # (words,) in the language model; 0 is its unknown word
    tree: Records = field(repr=False)  # (nodes + 1,) of NODE
    unwritable: tuple[str, ...] = ()  # excluded: the model lacks some of their tokens
    other_spellings: dict[str, list[str]] = field(default_factory=dict, repr=False)


def build_lexicon(
    pairs: Pairs,
    vocabulary: Vocabulary,
    lm: NGram | None = None,
    numbers: dict[str, list[int]] | None = None,
) -> Lexicon:
    """A lexicon of words whose spellings are in the form the model writes.

    Args:
        numbers: the words of `lm` by normal form, from `word_numbers`.

    Raises LanguageModelError when the model can write none of them.
    """
    numbers = numbers or {}
    entries: dict[tuple[tuple[int, ...], str, int], str] = {}
    unwritable: dict[str, None] = {}
    for word, spelling in pairs:
        if not spelling or not vocabulary.covers(spelling):
            unwritable[word] = None
            continue
        tokens = tuple(vocabulary.encode(spelling))
        for number in numbers.get(word, [0]):
            entries[tokens, word, number] = spelling
    if not entries:
        shown = ", ".join(w if w == s else f"{w} spelled {s}" for w, s in pairs[:3])
        raise LanguageModelError(
            f"none of its {len(unwritable)} words can be written by the model, which has "
            f"{vocabulary}; found {shown!r:.60}"
        )
    token, first, parent, end = build_trie([tokens for tokens, _, _ in entries])
    ranks = np.argsort(end, kind="stable")
    ordered = list(entries)
    chosen = np.array([number for _, _, number in entries], np.int32)[ranks]
    tree = np.zeros(len(token) + 1, NODE)
    tree["token"][:-1], tree["first"] = token, first
    tree["word"][1:] = np.cumsum(np.bincount(end, minlength=len(token)))
    tree["spaced"][:-1] = np.isin(token, vocabulary.starts) & (parent > 0)
    if lm is not None and lm.unit == "word":
        tree["best"] = -np.inf
        np.maximum.at(tree["best"], end[ranks], lm.tables.log_prob[1 + chosen])
    _spread(tree, parent)
    words = tuple(ordered[rank][1] for rank in ranks.tolist())
    spellings = tuple(entries[ordered[rank]] for rank in ranks.tolist())
    return Lexicon(words, spellings, chosen, tree, tuple(unwritable), _other_spellings(pairs))


@compiled
def _spread(tree: Records, parent: Ints) -> None:
    """`best` from the ends of words to the root, `spaced` from spaces to the ends."""
    for node in range(1, len(parent)):
        tree[node].spaced |= tree[parent[node]].spaced
    for node in range(len(parent) - 1, 0, -1):
        tree[parent[node]].best = max(tree[parent[node]].best, tree[node].best)


def _other_spellings(pairs: Pairs) -> dict[str, list[str]]:
    """All spellings of the words that are not just spelled as they are written."""
    found: dict[str, list[str]] = {}
    for word, spelling in pairs:
        found.setdefault(word, []).append(spelling)
    return {word: spellings for word, spellings in found.items() if spellings != [word]}


def word_numbers(
    model: NGram, vocabulary: Vocabulary, normalise: Normalise
) -> dict[str, list[int]]:
    """The words of a language model by normal form: "Paris" and "paris" may be one to a decoder."""
    alphabet = {token for token in vocabulary.tokens[1:] if token.isascii() and token.isalnum()}
    found: dict[str, list[int]] = {}
    for number, word in enumerate(model.words):
        if word not in (START, END, UNKNOWN, SPACE):
            plain = alphabet.issuperset(word)  # normal already: the model has learned such text
            found.setdefault(word if plain else normalise(word), []).append(number)
    found.pop("", None)
    return found


_AFFIXES = re.compile(r"[^\s/]+/\S+")  # work/ADG
_JOINED = re.compile(r"\w\s*[,;]\s*[^\W\d]")  # one,two or one; two, but not 1,000
_LETTERS = re.compile(r"(?:\S\s+)+\|")  # o n e |


def read_vocabulary(path: str | Path, normalise: Normalise) -> Pairs:
    """The pairs in a file. A line is a word, or a word, white space and its spelling; a tab
    separates a word with spaces from its spelling. Blank lines and those that begin with # are
    skipped. A spelling may have flashlight's form, letters apart and | after a word. Of a manifest,
    the words of its transcripts.

    Spellings are normalised, and so are words that are their own spelling. Raises
    LanguageModelError: unreadable, no words, a word without letters, a dictionary of phones
    or of Hunspell.
    """
    if not os.path.exists(path):  # perhaps the words themselves, as hot words may be given
        raise LanguageModelError(
            f"{path}: no such file{similar_path(path)[1]}; expected a file with one word per line"
        )
    if is_manifest(read_bytes(path)):
        found = dict.fromkeys(
            word for text in read_lines([path]) for word in normalise(text).split()
        )
        return [(word, word) for word in found]
    lines = [line.strip() for line in read_lines([path])]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise LanguageModelError(f"{path}: no words in it; expected one word per line")
    if "\\data\\" in lines:
        raise LanguageModelError(f"{path}: an ARPA language model; expected one word per line")
    if sum(_PHONES.fullmatch(line) is not None for line in lines) > len(lines) / 2:
        raise LanguageModelError(
            f"{path}: a dictionary of phones ({lines[0]!r:.40}); expected words, each alone or "
            "followed by its spelling in the letters that the model writes"
        )
    affixes = sum(_AFFIXES.fullmatch(line) is not None for line in lines)
    if lines[0].isdecimal() and affixes > len(lines) / 10:
        raise LanguageModelError(
            f"{path}: a dictionary of Hunspell, without inflected words; expected one word per "
            "line, as `unmunch FILE.dic FILE.aff` writes them"
        )
    if joined := [line for line in lines if "\t" not in line and _JOINED.search(line)]:
        raise LanguageModelError(
            f"{path}: several words on a line ({joined[0]!r:.40}); expected one word per line"
        )
    pairs = []
    lines = list(map(_with_letters_joined, lines))
    for line in lines:
        word, *rest = _word_and_spelling(line)
        spelling = normalise(rest[0] if rest else word)
        if not spelling:
            raise LanguageModelError(f"{path}: {line!r:.40} has no letters or digits")
        pairs.append((word if rest else spelling, spelling))
    _warn_of_phrases(path, lines, pairs, normalise)
    return pairs


def _word_and_spelling(line: str) -> list[str]:
    return [part.strip() for part in line.split("\t" if "\t" in line else None, 1)]


def _with_letters_joined(line: str) -> str:
    """A line of flashlight or torchaudio as one of ours; others as they are.

    >>> _with_letters_joined("7up s e v e n | u p |")
    '7up\\tseven up'
    """
    word, *rest = _word_and_spelling(unicodedata.normalize("NFC", line))
    if not rest or not _LETTERS.fullmatch(rest[0]):
        return line
    return f"{word}\t{''.join(rest[0].split()).replace('|', ' ').strip()}"


def _warn_of_phrases(
    path: str | Path, lines: list[str], pairs: Pairs, normalise: Normalise
) -> None:
    """Of lines that may be meant as a phrase or as the letters of one word: what they mean here."""
    doubtful = [
        (word, spelling)
        for line, (word, spelling) in zip(lines, pairs, strict=True)
        if ("\t" not in line and word != spelling and normalise(word).isalpha())
        or (" " in spelling and spelling.replace(" ", "") == normalise(word))
    ]
    if doubtful:
        log.warning(
            "%s: %r is written where %r is spoken (%d such lines); expected a word alone, or WORD, "
            "tab, SPELLING, or for a phrase PHRASE, tab, PHRASE",
            path, *doubtful[0], len(doubtful),
        )  # fmt: skip
