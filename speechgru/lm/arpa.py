"""ARPA files, the common text format of n-gram models, plain or compressed by gzip.

A model with the word `<space>` is a character model: other words are single characters in it.
"""

import gzip
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import numpy as np

from speechgru.errors import LanguageModelError
from speechgru.files import no_text
from speechgru.lm.arpa_parser import PROBLEMS, Names, parse_ngrams
from speechgru.lm.ngram import (
    END,
    IMPOSSIBLE,
    MAX_ORDER,
    SPACE,
    START,
    UNKNOWN,
    Floats,
    Ints,
    NGram,
    from_ngrams,
)
from speechgru.lm.text import read_bytes

LN10 = float(np.log(10))
ROWS = 100_000  # lines made at a time
_COUNT = re.compile(rb"ngram\s+(\d{1,18})\s*=\s*(\d{1,18})")  # int() refuses thousands of digits


def read_arpa(path: str | Path) -> NGram:
    """The model in a file.

    A model without `<unk>`, or with an impossible one, gives unknown words the probability of its
    rarest word.

    Raises LanguageModelError, naming the file and the line: unreadable, not ARPA, cut short, other
    counts than announced, a broken line, an n-gram twice or with a word that has no unigram.
    """
    data = read_bytes(path)
    try:
        return parse_arpa(data)
    except LanguageModelError as error:
        raise LanguageModelError(f"{path}: {error}") from None


def parse_arpa(data: bytes) -> NGram:
    """The model in the text of an ARPA file. Raises LanguageModelError as `read_arpa` does."""
    begin = re.search(rb"^(?:\xef\xbb\xbf)?\s*\\data\\\s*$", data, re.MULTILINE)
    if begin is None and data.startswith(b"mmap lm http://kheafield.com"):
        raise LanguageModelError("KenLM's binary format; give the ARPA file that it was made from")
    if begin is None:
        reason = no_text(data) or r"it has no line \data\ "
        raise LanguageModelError(f"not an ARPA language model: {reason}")
    counts, position = _counts(data, begin.end())
    text = np.frombuffer(data, np.uint8)
    names = Names.empty(counts[0])
    orders = []
    for order, count in enumerate(counts, start=1):
        header = re.compile(rb"\s*\\%d-grams:[ \t]*\r?\n" % order).match(data, position)
        if header is None:
            _fail(data, position, rf"expected \{order}-grams:")
        ngrams = np.zeros((count, order), np.int32)
        log_prob, back_off = np.zeros(count, np.float32), np.zeros(count, np.float32)
        rows, position, problem = parse_ngrams(
            text, header.end(), names, ngrams, log_prob, back_off
        )
        if problem:
            _fail(data, position, PROBLEMS[problem].format(order=order, count=count))
        if rows < count:
            _fail(data, position, f"expected {count} {order}-grams as announced, found {rows}")
        orders.append((ngrams, log_prob * LN10, back_off * LN10))
    if not re.compile(rb"\s*\\end\\").match(data, position):
        _fail(data, position, r"expected \end\; the file may be cut short")
    words, orders = _unknown_first(_plain_specials(_decoded(data, names)), orders)
    return from_ngrams(words, "character" if SPACE in words else "word", orders)


def format_arpa(model: NGram) -> Iterator[str]:
    """The text of an ARPA file, in pieces; log10 values have six decimals."""
    yield "\\data\\\n"
    for order, count in enumerate(model.counts(), start=1):
        yield f"ngram {order}={count}\n"
    tables, names = model.tables, np.array(model.words, object)
    for order, (begin, ngrams) in enumerate(ngrams_by_order(model), start=1):
        yield f"\n\\{order}-grams:\n"
        for at in range(0, len(ngrams), ROWS):
            rows = ngrams[at : at + ROWS]
            nodes = slice(begin + at, begin + at + len(rows))
            log_prob = (np.maximum(tables.log_prob[nodes], IMPOSSIBLE) / LN10).tolist()
            texts = map(" ".join, names[rows].tolist())
            if order == model.order:
                lines = [f"{p:.6f}\t{text}" for p, text in zip(log_prob, texts, strict=True)]
            else:
                back_off = (tables.back_off[nodes] / LN10).tolist()
                lines = [
                    f"{p:.6f}\t{text}\t{b:.6f}" if b else f"{p:.6f}\t{text}"
                    for p, text, b in zip(log_prob, texts, back_off, strict=True)
                ]
            yield "\n".join(lines) + "\n"
    yield "\n\\end\\\n"


def arpa_bytes(model: NGram, compress: bool) -> bytes:
    """The content of an ARPA file; the same model gives the same bytes."""
    text = "".join(format_arpa(model)).encode()
    return gzip.compress(text, compresslevel=4, mtime=0) if compress else text


def ngrams_by_order(model: NGram) -> Iterator[tuple[int, Ints]]:
    """(first node, the words of its n-grams (count, order)) for every order."""
    levels, parents = model.levels(), model.parents()
    ngrams, below = np.zeros((1, 0), np.int32), 0
    for begin, end in pairwise(levels):
        prefixes = ngrams[parents[begin:end] - below]
        ngrams = np.concatenate([prefixes, model.tables.word[begin:end, None]], axis=1)
        yield begin, ngrams
        below = begin


def _counts(data: bytes, position: int) -> tuple[list[int], int]:
    """The announced number of n-grams of each order, and where the first section begins."""
    end = data.find(b"\n\\", position) + 1 or len(data)
    lines = [line.strip() for line in data[position:end].splitlines() if line.strip()]
    found = [_COUNT.fullmatch(line) for line in lines]
    counts = [(int(match[1]), int(match[2])) for match in found if match]
    if len(counts) < len(lines) or [order for order, _ in counts] != list(
        range(1, len(counts) + 1)
    ):
        _fail(data, position + 1, "expected the counts `ngram 1=…`, `ngram 2=…`, …")
    if not 1 <= len(counts) <= MAX_ORDER:
        raise LanguageModelError(f"{len(counts)} orders of n-grams; expected 1 to {MAX_ORDER}")
    for order, count in counts:
        if count * 4 > len(data) or (order == 1 and not count):
            _fail(data, position + 1, f"{count} {order}-grams announced in {len(data)} bytes")
    return [count for _, count in counts], end


def _fail(data: bytes, position: int, problem: str) -> NoReturn:
    begin = data.rfind(b"\n", 0, position) + 1
    if not data[begin:].strip():
        raise LanguageModelError(f"ends early: {problem}")
    while data[begin : begin + 1] in (b"\n", b"\r"):
        begin += 1
    end = data.find(b"\n", begin)
    line = data[begin : len(data) if end < 0 else end].decode(errors="replace").strip()
    number = data.count(b"\n", 0, begin) + 1
    raise LanguageModelError(f"line {number}: {problem}; found {line!r:.60}")


def _decoded(data: bytes, names: Names) -> list[str]:
    spans = zip(names.start.tolist(), names.length.tolist(), strict=True)
    try:
        return [data[start : start + length].decode() for start, length in spans]
    except UnicodeDecodeError as error:
        raise LanguageModelError(f"the word {error.object!r:.60} is not UTF-8") from None


def _plain_specials(words: list[str]) -> list[str]:
    """With the special words in lower case, as models of texts in capitals may not have them."""
    known = set(words)
    capitals = {word.upper(): word for word in (START, END, UNKNOWN) if word not in known}
    return [capitals.get(word, word) for word in words]


def _unknown_first(
    words: list[str], orders: list[tuple[Ints, Floats, Floats]]
) -> tuple[list[str], list[tuple[Ints, Floats, Floats]]]:
    """The same model with the unknown word as number 0, added where there is none, and possible:
    a closed vocabulary is written as no `<unk>` by some tools, as -99 by others."""
    ngrams, log_prob, back_off = orders[0]
    if UNKNOWN not in words:
        words = [*words, UNKNOWN]
        ngrams = np.append(ngrams, np.array([[len(ngrams)]], np.int32), axis=0)
        log_prob = np.append(log_prob, np.float32(IMPOSSIBLE))
        back_off = np.append(back_off, np.float32(0))
    place = words.index(UNKNOWN)
    possible = log_prob > 0.9 * IMPOSSIBLE
    if not possible[place]:  # the rows of 1-grams are the words in order
        log_prob[place] = min(log_prob[possible], default=np.float32(IMPOSSIBLE))
    orders[0] = (ngrams, log_prob, back_off)
    moved = np.arange(len(words), dtype=np.int32)
    moved[:place] += 1
    moved[place] = 0
    words = [UNKNOWN, *words[:place], *words[place + 1 :]]
    return words, [(moved[ngrams], *rest) for ngrams, *rest in orders]  # type: ignore[misc]
