"""Which form of a lexicon's words the references have: as written ("7") or as spelled ("seven").

The form is one for all references. Chosen for each of them, it would hide errors; and a reference
cannot be converted, because a word may have several spellings, and a spelling several words.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from speechgru.decoding import BeamSearch, Decoder
from speechgru.errors import printable

log = logging.getLogger(__name__)
AnyDecoder = TypeVar("AnyDecoder", bound=Decoder)


def match_references(
    decoder: AnyDecoder, references: Iterable[str], normalise: Callable[[str], str]
) -> AnyDecoder:
    """The decoder, writing as the references do: as spelled if they have more words that its
    lexicon only spells than words that it only writes; else as written.

    Args:
        references: normalised.
    """
    if not isinstance(decoder, BeamSearch) or decoder.lexicon is None:
        return decoder
    written = {part for word in decoder.lexicon.words for part in normalise(word).split()}
    spelled = {part for spelling in decoder.lexicon.spellings for part in spelling.split()}
    found = Counter(word for text in references for word in text.split())
    only_written = Counter({word: found[word] for word in found.keys() & (written - spelled)})
    only_spelled = Counter({word: found[word] for word in found.keys() & (spelled - written)})
    if only_written and only_spelled:
        log.warning(
            "the references have words as the lexicon writes them (%s) and as it spells them (%s): "
            "the rarer form counts as errors", _listed(only_written), _listed(only_spelled),
        )  # fmt: skip
    return decoder.spelled() if only_spelled.total() > only_written.total() else decoder


def _listed(words: Counter[str]) -> str:
    return printable(", ".join(f"{word} ×{count}" for word, count in words.most_common(5)))
