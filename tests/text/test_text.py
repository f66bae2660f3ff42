"""Normalisation of transcripts, and the vocabulary of characters."""

import itertools
import json
import signal
import sys
import unicodedata

import num2words
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.errors import CheckpointError, SpeechgruError
from speechgru.recipe import TextRecipe
from speechgru.text import BLANK, Vocabulary, describe, normalise
from speechgru.text.numbers import spell_numbers
from speechgru.text.units import vocabulary_from_json

DEFAULT = TextRecipe()
KEEP = TextRecipe(case="keep", punctuation="keep")
texts = st.text(st.characters(codec="utf-8"), max_size=40)
rules = st.builds(
    TextRecipe,
    case=st.sampled_from(["lower", "upper", "keep"]),
    punctuation=st.sampled_from(["remove", "keep"]),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  Hello,\tWORLD!\n", "hello world"),
        ("twenty-one", "twenty one"),
        ("U.S.A. 3.5 %", "u s a 3 5"),
        ("Don’t, it‛s Mary＇s oʼclock", "don't it's mary's o'clock"),
        ("O‘zbek, l´eau d`or d′or", "o'zbek l'eau d'or d'or"),
        ("‘quoted’ `code` ´x´", "quoted code x"),
        ("'quoted' dogs' 'tis rock 'n' roll", "quoted dogs tis rock n roll"),
        ("o''clock a'-b", "o clock a b"),
        ("e\u0301te\u0301", "été"),  # decomposed accents are composed
        ("e\u2060\u0301", "é"),  # also across an invisible character
        ("soft\u00adhyphen \ufeffmark", "softhyphen mark"),
        ("no\u00a0break\u2003space\u2028line", "no break space line"),
        ("ΑΣ ΟΔΟΣ", "ας οδος"),  # final sigma
        ("İstanbul", "i̇stanbul"),
        ("Straße №5", "straße 5"),
        ("Привет, мир!", "привет мир"),
        ("こんにちは。世界", "こんにちは 世界"),
        ("हिन्दी की किताब", "हिन्दी की किताब"),  # vowel signs are marks
        ("สวัสดีครับ", "สวัสดีครับ"),
        ("می\u200cخواهم\u200c", "می\u200cخواهم"),  # joiner inside a word, not after it
        ("שָׁלוֹם", unicodedata.normalize("NFC", "שָׁלוֹם")),
        ("I ❤️ you 👍🏽 #️⃣", "i you"),
        ("র\u200d\u09cdযাব", "র\u200d\u09cdযাব"),  # Bengali: a joiner before the virama
        ("র\u200d র\u200d!", "র র"),
        ("a\x00b \x1b[31mred\x07\x9b", "ab 31mred"),  # control characters
        ("tab\tnext\x85line", "tab next line"),
        ("_under_score_", "under score"),
        ("?!", ""),
        ("El col·legi · novel·la·", "el col·legi novel·la"),  # Catalan
        ("צה״ל ״שלום״ ג׳ירפה", "צה״ל שלום ג׳ירפה"),  # Hebrew: an abbreviation, quotes, a letter
        ("ភាសា\u200bខ្មែរ", "ភាសា ខ្មែរ"),  # Khmer: words are separated by zero-width spaces
        ("അവന്\u200d വന്നു", "അവൻ വന്നു"),  # Malayalam: both spellings of a chillu
    ],
)
def test_the_default_rule(text: str, expected: str) -> None:
    assert normalise(text, DEFAULT) == expected


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (TextRecipe(case="upper"), "IT'S STRASSE NR 5"),
        (TextRecipe(case="keep"), "It's Straße Nr 5"),
        (TextRecipe(punctuation="keep"), "it's straße, nr. 5!"),
        (KEEP, "It's Straße, Nr. 5!"),
    ],
)
def test_the_other_rules(recipe: TextRecipe, expected: str) -> None:
    assert normalise(" It’s Straße,  Nr. 5! ", recipe) == expected


@given(texts, rules)
def test_normalisation_is_idempotent(text: str, recipe: TextRecipe) -> None:
    once = normalise(text, recipe)
    assert normalise(once, recipe) == once


@given(texts, rules)
def test_no_rule_leaves_a_control_character(text: str, recipe: TextRecipe) -> None:
    assert not [c for c in normalise(text, recipe) if unicodedata.category(c) == "Cc"]


@given(texts)
def test_only_words_are_left(text: str) -> None:
    result = normalise(text, DEFAULT)
    assert result == result.strip()
    assert "  " not in result
    assert unicodedata.is_normalized("NFC", result)
    kinds = {unicodedata.category(c)[0] for c in result if c not in " '\u200c\u200d·׳״"}
    assert kinds <= {"L", "M", "N"}
    for word in result.split():
        assert word[0].isalnum()
        assert word[-1] not in "'\u200c\u200d·׳״"


@given(st.text("abcxyz 'äß", max_size=30))
def test_letters_and_order_survive(text: str) -> None:
    def letters(value: str) -> str:
        return "".join(c for c in value if c.isalpha())

    assert letters(normalise(text, KEEP)) == letters(normalise(text, DEFAULT)) == letters(text)


@pytest.mark.parametrize(
    ("case", "expected"), [("lower-tr", "ılık izmir ise"), ("upper-tr", "ILIK İZMİR İSE")]
)
@pytest.mark.parametrize("text", ["ILIK İZMİR İSE", "ılık izmir ise", "Ilık I\u0307zmir ise"])
def test_the_case_of_a_turkish_i(case: str, expected: str, text: str) -> None:
    assert normalise(text, TextRecipe.model_validate({"case": case})) == expected


def test_each_rule_has_its_own_description() -> None:
    choices = itertools.product(
        ("lower", "upper", "keep", "lower-tr", "upper-tr"), ("remove", "keep")
    )
    recipes = [TextRecipe.model_validate({"case": c, "punctuation": p}) for c, p in choices]
    lines = {describe(recipe) for recipe in recipes}
    assert len(lines) == 10


def test_vocabulary_is_the_blank_and_the_characters_that_occur() -> None:
    vocabulary = Vocabulary.from_texts(["two six", "oh"])
    assert vocabulary.tokens == (BLANK, " ", "h", "i", "o", "s", "t", "w", "x")
    assert vocabulary.blank == 0
    assert len(vocabulary) == 9
    assert vocabulary == Vocabulary.from_texts(["hot", "six w"])
    assert vocabulary.encode("two") == [6, 7, 4]
    assert vocabulary.decode([0, 6, 7, 0, 4, 0]) == "two"


def test_unknown_characters_are_counted_and_refused() -> None:
    vocabulary = Vocabulary.from_texts(["ab"])
    assert vocabulary.unknown("abcca\n") == {"c": 2, "\n": 1}
    assert not vocabulary.unknown("")
    with pytest.raises(SpeechgruError) as caught:
        vocabulary.encode("abc\n")
    assert "'c', '\\n'" in str(caught.value)
    assert "' ab'" in str(caught.value)


@pytest.mark.parametrize("ids", [[4], [-1]])
def test_invalid_token_numbers_are_an_error(ids: list[int]) -> None:
    with pytest.raises(IndexError):
        Vocabulary.from_texts(["ab"]).decode(ids)


@given(st.lists(st.builds(normalise, texts, rules), max_size=4))
def test_vocabulary_round_trips(listed: list[str]) -> None:
    vocabulary = Vocabulary.from_texts(listed)
    copy = vocabulary_from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert copy == vocabulary
    for text in listed:
        assert copy.decode(vocabulary.encode(text)) == text
        assert not copy.unknown(text)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (None, "None"),
        ([BLANK], "['<blank>']"),
        ({"kind": "phones", "tokens": [BLANK]}, "'phones'"),
        ({"kind": "words", "tokens": [BLANK, "a"]}, "found 'a'"),
        ({"kind": "words", "tokens": [BLANK, " a b"]}, "found ' a b'"),
        ({"kind": "pieces", "tokens": [BLANK, "a "]}, "found 'a '"),
        ({"kind": "pieces", "tokens": [BLANK, ""]}, "found ''"),
        ({"kind": "pieces", "tokens": [BLANK, "a\n"]}, "token 1"),
        ({"kind": "characters"}, "tokens, found None"),
        ({"kind": "characters", "tokens": []}, "tokens, found []"),
        ({"kind": "characters", "tokens": "abc"}, "tokens, found 'abc'"),
        ({"kind": "characters", "tokens": [BLANK] * 100_001}, "100000 tokens"),
        ({"kind": "characters", "tokens": ["a", BLANK]}, "found 'a'"),
        ({"kind": "characters", "tokens": [BLANK, "a", "a"]}, "token 2"),
        ({"kind": "characters", "tokens": [BLANK, "ab"]}, "found 'ab'"),
        ({"kind": "characters", "tokens": [BLANK, "\ud800"]}, "token 1"),
        ({"kind": "characters", "tokens": [BLANK, "\x1b"]}, "token 1"),
        ({"kind": "characters", "tokens": [BLANK, 5]}, "found 5"),
    ],
)
def test_a_damaged_vocabulary_is_refused(values: object, found: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        vocabulary_from_json(values)
    assert found in str(caught.value)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


# Numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Channel 21, now!", "en", "channel twenty one now"),
        ("0 and 100.", "en", "zero and one hundred"),
        ("(42) Grad", "de", "zweiundvierzig grad"),
        ("3.5 1,000 10:30 2nd 007 b2 1234567890123", "en",
         "3 5 1 000 10 30 2nd 007 b2 1234567890123"),
        ("1\u202f000, 25\u00a0300 and (1\u2009000\u2009000)!", "en",
         "one thousand twenty five thousand three hundred and one million"),
        ("1 000 or 12\u00a034; 555 123 456. 1\u00a0234\u00a0567\u00a0890\u00a0123", "en",
         "1 000 or twelve thirty four 555 123 456 1 234 567 890 123"),
    ],
)  # fmt: skip
def test_whole_numbers_are_spelled_and_others_are_not(
    text: str, language: str, expected: str
) -> None:
    rule = TextRecipe(spell_numbers=language)
    assert normalise(text, rule) == expected
    assert language in describe(rule)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm")
def test_every_language_spells_a_number_or_refuses_it_at_once() -> None:
    def too_late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_late)
    refused: dict[tuple[str, int], str] = {}
    try:
        for language in num2words.CONVERTER_CLASSES:
            for number in (0, 7, 99, 345, 2026, 99_999, 1_234_567, 123_456_789, 999_999_999_999):
                signal.setitimer(signal.ITIMER_REAL, 5)
                try:
                    assert spell_numbers(f"{number}.", language)[-1] == "."
                except SpeechgruError as error:
                    refused[language, number] = str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ("am", 1_234_567) in refused
    assert len(refused) < 20
    assert all(str(number) in message for (_, number), message in refused.items())


def test_without_a_language_of_numbers_or_num2words_the_error_names_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SpeechgruError, match="'klingon'"):
        normalise("7", TextRecipe(spell_numbers="klingon"))
    with pytest.raises(SpeechgruError, match="999999999999"):
        normalise("999999999999", TextRecipe(spell_numbers="te"))
    monkeypatch.setitem(sys.modules, "num2words", None)
    with pytest.raises(SpeechgruError, match=r"speechgru\[numbers\]"):
        normalise("8", TextRecipe(spell_numbers="fr"))
