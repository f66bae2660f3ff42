"""Whether words are written as references have them: as the lexicon writes or spells them."""

import pytest

from speechgru.decoding import BeamSearch, Greedy
from speechgru.decoding.lexicon import Pairs, build_lexicon
from speechgru.decoding.references import match_references
from speechgru.text import Vocabulary

LETTERS = Vocabulary.from_texts(["abcdefghijklmnopqrstuvwxyz "])
DIGITS = [("7", "seven"), ("8", "eight"), ("lamp", "lamp")]


@pytest.mark.parametrize(
    ("pairs", "references", "words", "warnings"),
    [
        (DIGITS, ["seven lamp", "lamp"], {"seven", "eight", "lamp"}, 0),
        (DIGITS, ["7 lamp"], {"7", "8", "lamp"}, 0),
        (DIGITS, ["lamp", "nine"], {"7", "8", "lamp"}, 0),
        (DIGITS, ["7 lamp", "eight seven"], {"seven", "eight", "lamp"}, 1),
        (DIGITS, ["7 8", "eight"], {"7", "8", "lamp"}, 1),
        ([("7up", "seven up"), ("up", "up")], ["seven up"], {"seven up", "up"}, 0),
        ([("New York", "new york")], ["new york"], {"New York"}, 0),
        ([("two", "two"), ("too", "two")], ["two"], {"two", "too"}, 0),  # a confusion is an error
    ],
)
def test_the_form_of_the_references(
    pairs: Pairs,
    references: list[str],
    words: set[str],
    warnings: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    decoder = BeamSearch(LETTERS, lexicon=build_lexicon(pairs, LETTERS))
    found = match_references(decoder, references, str.lower)
    assert found.lexicon is not None
    assert set(found.lexicon.words) == words
    assert len(caplog.records) == warnings


def test_decoders_without_a_lexicon_stay_as_they_are() -> None:
    for decoder in (Greedy(LETTERS), BeamSearch(LETTERS)):
        assert match_references(decoder, ["seven"], str.lower) is decoder
