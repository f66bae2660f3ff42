"""Text files and manifests as sentences, and how well a model predicts them."""

import gzip
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.errors import LanguageModelError
from speechgru.files import no_text
from speechgru.lm.counting import Normalise, sentence_units
from speechgru.lm.ngram import NGram
from speechgru.manifest import read_manifest
from speechgru.misspelt import why_unreadable

LISTED = 10  # unknown units that are named


def read_lines(paths: Sequence[str | Path]) -> Iterator[str]:
    """The lines of text files (UTF-8, plain or gzip) and the transcripts of manifests, one file
    after the other. A file whose first character is `{` is a manifest.

    Raises LanguageModelError for a file that cannot be read, ManifestError for a broken manifest.
    """
    for path in paths:
        data = read_bytes(path)
        if reason := no_text(data):
            raise LanguageModelError(f"{path}: {reason}")
        if is_manifest(data):
            yield from (utterance.text for utterance in read_manifest(path))
            continue
        try:
            yield from data.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise LanguageModelError(f"{path}:{line}: not UTF-8; save it as UTF-8") from None


def is_manifest(data: bytes) -> bool:
    return data[:200].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def read_bytes(path: str | Path) -> bytes:
    """The content of a file, decompressed if it is gzip. Raises LanguageModelError."""
    try:
        data = Path(path).read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LanguageModelError(f"{path}: damaged gzip file: {error}") from None
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be read: {why_unreadable(path, error)}") from None


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts a text, in its units (words or characters) and sentence ends."""

    sentences: int
    units: int
    ends: int  # sentence ends that were predicted: none by a model without `</s>`
    unknown: int  # units the model does not have
    log_prob: float  # natural, of known units and sentence ends
    unknown_log_prob: float  # of the unknown ones, as the unknown word
    worst: tuple[tuple[str, int], ...]  # the most frequent unknown units and how often they occur

    @property
    def perplexity(self) -> float:
        """Without the unknown units, as SRILM's `ppl`."""
        return _perplexity(self.log_prob, self.units - self.unknown + self.ends)

    @property
    def with_unknown(self) -> float:
        """With the unknown units, each as probable as the unknown word."""
        return _perplexity(self.log_prob + self.unknown_log_prob, self.units + self.ends)

    @property
    def unknown_rate(self) -> float:
        return self.unknown / max(self.units, 1)


def measure(
    model: NGram, lines: Iterable[str], normalise: Normalise, source: str = "the text"
) -> Perplexity:
    """The perplexity of a text, called `source` in errors. Raises LanguageModelError when it has no
    words."""
    sentences = units = 0
    log_prob = unknown_log_prob = 0.0
    unknown: Counter[str] = Counter()
    model = model.in_normal_form(normalise)
    for line in lines:
        names = sentence_units(line, model.unit, normalise)
        if not names:
            continue
        unknown_here = np.array([model.number(name) == 0 for name in names])
        unknown.update(name for name in names if model.number(name) == 0)
        found = model.scores(names)
        log_prob += float(found[len(names) :].sum() + found[: len(names)][~unknown_here].sum())
        unknown_log_prob += float(found[: len(names)][unknown_here].sum())
        sentences, units = sentences + 1, units + len(names)
    if not sentences:
        raise LanguageModelError(f"{source}: no words; expected one sentence per line")
    ends = sentences if model.end >= 0 else 0
    return Perplexity(
        sentences, units, ends, unknown.total(), log_prob, unknown_log_prob,
        tuple(unknown.most_common(LISTED)),
    )  # fmt: skip


def _perplexity(log_prob: float, count: int) -> float:
    return math.exp(min(-log_prob / count, 700.0)) if count else math.inf
