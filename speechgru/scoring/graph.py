"""Word graphs: a text with the alternatives and optional words of NIST SCTK.

    i've { um / uh / @ } as far (as) i'm concerned

{ a / b c / @ }   alternatives, which may contain others; @ is no word at all
(word)            a word that may be missing; with or without it, it counts as right

Format: NIST SCTK, doc/infmts.htm. As in its sclite, a semicolon ends a word (what follows is a
tag), a final asterisk does not belong to it, and a backslash protects a semicolon.

SCTK cannot write every word: a character that it would not take for a part of one is written as in
a URL, such as %7B for a brace.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from speechgru.errors import ScoringError

WORD, NULL, OPTIONAL = 0, 1, 2  # kinds of words
NO_WORD = "@"
MAX_DEPTH = 50  # of alternatives in alternatives

_TAG = re.compile(r"(?<!\\);.*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# What SCTK would not take for a part of a word, or what we write in its place; lower-case digits
# are ours, too, in a file that was lowercased. U+FEFF at the beginning of a file is a byte order
# mark.
_SPECIAL = re.compile(
    r"[{;\\]|^@$|^\((?=.+\)$)|^\*(?=\*)|(?<=.)\*$|^<(?=ALT(?:_BEGIN|_END)?>$)"
    r"|^\ufeff|%(?=7B|3B|5C|40|28|2A|3C|25|EF%BB%BF)",
    re.IGNORECASE,
)
_WRITTEN = re.compile("%(?:7B|3B|5C|40|28|2A|3C|25|EF%BB%BF)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WordGraph:
    """The readings of a text: each a path from the beginning to one of `ends`.

    Words are numbered from 1; 0 is the beginning. A word comes after all words in its `before`.
    """

    words: tuple[str, ...]
    kinds: tuple[int, ...]  # WORD, NULL or OPTIONAL, per word
    before: tuple[tuple[int, ...], ...]  # numbers of the words that may precede, per word
    ends: tuple[int, ...]  # numbers of the words that may be last

    @property
    def plain(self) -> bool:
        """Whether there is only one reading, without optional words."""
        return not any(self.kinds) and all(len(each) == 1 for each in (*self.before, self.ends))


def plain_graph(words: Iterable[str]) -> WordGraph:
    """The graph of a text without alternatives, in which no character is special."""
    words = tuple(words)
    before = tuple((number,) for number in range(len(words)))
    return WordGraph(words, (WORD,) * len(words), before, (len(words),))


def escape_word(word: str) -> str:
    """A word as it is written in trn, stm and ctm files, where some characters are special.

    >>> escape_word("{um}"), escape_word("(uh)"), escape_word("5%")
    ('%7Bum}', '%28uh)', '5%')
    """
    return _SPECIAL.sub(as_percent, word)


def as_percent(match: re.Match[str]) -> str:
    """What was found, as in a URL: %XX for each byte of its UTF-8."""
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def parse_graph(text: str) -> WordGraph:
    """The graph of a text with SCTK's alternatives and optional words.

    Raises ScoringError: a brace without its counterpart or within a word, or an empty alternative.
    """
    builder = GraphBuilder()
    builder.text(text)
    return builder.graph()


class GraphBuilder:
    """A graph in the making, extended at its end."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._kinds: list[int] = []
        self._before: list[tuple[int, ...]] = []
        self._ends: tuple[int, ...] = (0,)

    def graph(self) -> WordGraph:
        return WordGraph(tuple(self._words), tuple(self._kinds), tuple(self._before), self._ends)

    def text(self, text: str, depth: int = 0) -> None:
        """Add words and alternatives."""
        for token in _tokens(text):
            if token.startswith("{"):
                self.alternatives(_alternatives(token), depth + 1)
            else:
                self.word(token)

    def word(self, token: str) -> None:
        """Add a single word as SCTK writes it, `@`, `(optional)`, `word;tag`, `word*`, or as
        `escape_word` does."""
        word = _ESCAPED.sub(r"\1", _TAG.sub("", token))
        word = word[:-1] if len(word) > 1 and word.endswith("*") else word
        kind = NULL if word == NO_WORD else WORD
        if len(word) > 2 and word.startswith("(") and word.endswith(")"):
            word, kind = word[1:-1], OPTIONAL
        if not word:
            raise ScoringError(f"{token!r}: a tag without a word; expected word;tag")
        self._words.append(_WRITTEN.sub(lambda code: unquote(code[0]), word))
        self._kinds.append(kind)
        self._before.append(self._ends)
        self._ends = (len(self._words),)

    def alternatives(self, texts: Iterable[str], depth: int = 1) -> None:
        """Add texts that exclude each other."""
        if depth > MAX_DEPTH:
            raise ScoringError(f"more than {MAX_DEPTH} alternatives within each other")
        start = self._ends
        ends: list[int] = []
        for text in texts:
            if not text.strip():
                raise ScoringError("an empty alternative in braces; expected words, or @ for none")
            self._ends = start
            self.text(text, depth)
            ends += self._ends
        self._ends = tuple(ends)


def _tokens(text: str) -> Iterator[str]:
    """Words, and alternatives with their braces."""
    depth, token = 0, ""
    for character in text:
        if character == "{":
            if token and not depth:
                raise ScoringError(f"a brace within the word {token + '{'!r}; expected a space")
            depth += 1
        if character.isspace() and not depth:
            if token:
                yield token
            token = ""
            continue
        token += character
        if character == "}" and depth:
            depth -= 1
            if not depth:
                yield token
                token = ""
    if depth:
        raise ScoringError(f"a brace that is not closed: {token[:60]!r}; expected {{ a / b }}")
    if token:
        yield token


def _alternatives(token: str) -> list[str]:
    """The texts of `{ a / b / { c / d } }`: here a, b and { c / d }."""
    texts, depth = [""], 0
    for character in token[1:-1]:
        depth += (character == "{") - (character == "}")
        if character == "/" and not depth:
            texts.append("")
        else:
            texts[-1] += character
    return texts
