"""Files of sentences, from which a language model is trained or on which it is measured."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from speechgru.errors import LanguageModelError
from speechgru.lm.text import read_lines
from speechgru.scoring.transcripts import kind_with_marks

LOOKED_AT = 1000  # lines that show what kind of file they are from


def read_sentences(paths: Sequence[str | Path]) -> Iterator[str]:
    """As `read_lines`, of files with a sentence per line. Raises LanguageModelError for one with
    ids, times or marks beside the words, which would become words."""
    for path in paths:
        lines = read_lines([path])
        first = list(islice(lines, LOOKED_AT))
        is_arpa = "\\data\\" in map(str.strip, first)
        if kind := "an ARPA language model" if is_arpa else kind_with_marks(first):
            raise LanguageModelError(
                f"{path}: looks like {kind}; expected one sentence per line, or a manifest: remove "
                "all but the sentences"
            )
        yield from chain(first, lines)
