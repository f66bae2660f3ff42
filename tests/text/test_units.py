"""Vocabularies of words and pieces: splitting, files, fine-tuning."""

import io
import json
from dataclasses import replace

import pytest
import sentencepiece as spm
from hypothesis import given
from hypothesis import strategies as st

from speechgru.errors import RecipeError, SpeechgruError
from speechgru.recipe import TextRecipe
from speechgru.text import BLANK, Vocabulary
from speechgru.text.units import Pieces, Words, make_vocabulary, vocabulary_from_json

TEXTS = (
    "on the other hand the weather of the north is rather cold",
    "another one bothers the others",
    "they gather here and there whether or not it's warm",
    "zebra straße ŝipo",
)
BPE = TextRecipe(unit="bpe", pieces=50)
WORD = TextRecipe(unit="word")


@pytest.fixture(scope="module")
def pieces() -> Vocabulary:
    return make_vocabulary(TEXTS, BPE)


def test_words_are_tokens_with_a_space_before_them() -> None:
    words = make_vocabulary(["two six", "oh two"], WORD)
    assert words.tokens == (BLANK, " oh", " six", " two")
    assert words.encode("six two") == [2, 3]
    assert words.decode([2, 0, 3]) == " six two"
    assert words.between == []
    assert words.starts == [1, 2, 3]
    assert words.unknown("six seven oh seven") == {"seven": 2}
    assert not words.covers("six seven")
    with pytest.raises(SpeechgruError, match="'seven'"):
        words.encode("six seven")


def test_words_are_split_as_sentencepiece_does() -> None:
    text = [word * 3 for word in TEXTS]
    for size in (40, 70):
        model = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=model, model_type="bpe",
            vocab_size=size + 1, character_coverage=1.0, normalization_rule_name="identity",
            bos_id=-1, eos_id=-1, minloglevel=2, split_by_unicode_script=False,
            split_by_number=False,
        )  # fmt: skip
        theirs = spm.SentencePieceProcessor(model_proto=model.getvalue())
        ours = make_vocabulary(text, TextRecipe(unit="bpe", pieces=size))
        assert len(ours) == size + 1
        for line in (*text, *TEXTS, "hehehehe otherotherother", "a th the thethe"):
            expected = [piece.replace("\u2581", " ") for piece in theirs.encode(line, out_type=str)]
            assert list(ours.split(line)) == expected


@given(st.lists(st.text("abehnorstŝ", min_size=1, max_size=9), max_size=5))
def test_a_text_is_its_pieces(pieces: Vocabulary, words: list[str]) -> None:
    text = " ".join(words)
    assert pieces.covers(text)
    assert pieces.decode(pieces.encode(text)).strip() == text
    starts = [token for token in pieces.encode(text) if token in pieces.starts]
    assert len(starts) == len(words)


def test_a_word_that_no_model_file_can_have_is_refused() -> None:
    with pytest.raises(RecipeError, match="1,201"):
        make_vocabulary(["one", "x" * 1200], TextRecipe(unit="word"))


def test_the_name_of_the_blank_in_a_text() -> None:
    texts = ["a<blank> b<blank> c<blank> d<blank>"] * 20
    found = make_vocabulary(texts, TextRecipe(unit="bpe", pieces=22, punctuation="keep"))
    assert vocabulary_from_json(found.to_json()) == found
    assert found.decode(found.encode(texts[0])).strip() == texts[0]


def test_pieces_of_no_text() -> None:
    assert make_vocabulary(["", ""], TextRecipe(unit="bpe")).tokens == (BLANK, " ")


def test_a_text_is_split_while_another_thread_forgets_words(pieces: Vocabulary) -> None:
    class Forgetful(dict[str, tuple[str, ...]]):
        def __setitem__(self, *_: object) -> None:
            self.clear()

    forgetful = replace(pieces)
    object.__setattr__(forgetful, "_split", Forgetful())
    assert forgetful.split("the other") == pieces.split("the other")


def test_what_pieces_lack_is_characters(pieces: Vocabulary) -> None:
    assert pieces.unknown("the xylophone q") == {"x": 1, "q": 1}
    assert not pieces.covers("lynx")


@pytest.mark.parametrize("unit", ["character", "bpe", "word"])
def test_a_vocabulary_is_the_same_from_json(unit: str) -> None:
    vocabulary = make_vocabulary(TEXTS, TextRecipe(unit=unit, pieces=40))  # type: ignore[arg-type]
    copy = vocabulary_from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert copy == vocabulary
    assert copy.encode(TEXTS[0]) == vocabulary.encode(TEXTS[0])


@pytest.mark.parametrize(("size", "expected"), [(5, "at least 2"), (5000, "at most ")])
def test_a_number_of_pieces_that_cannot_be_is_refused(size: int, expected: str) -> None:
    with pytest.raises(RecipeError, match=expected) as caught:
        make_vocabulary(TEXTS, TextRecipe(unit="bpe", pieces=size))
    assert "\n" not in str(caught.value)


def test_without_sentencepiece_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with pytest.raises(RecipeError, match=r"speechgru\[bpe\]"):
        make_vocabulary(TEXTS, BPE)


def test_what_a_model_has_is_kept() -> None:
    words = Words((BLANK, " one", " two"))
    assert make_vocabulary(["six"], WORD, words).tokens == (BLANK, " one", " six", " two")
    pieces = Pieces((BLANK, " o", " ", "n", "o"))  # no sentencepiece is needed
    tuned = make_vocabulary(["nun", "on"], BPE, pieces)
    assert tuned.tokens == (*pieces.tokens, "u")
    assert tuned.split("nun on") == [" ", "n", "u", "n", " o", "n"]
    characters = Vocabulary.from_texts(["ab"])
    assert make_vocabulary(["c"], TextRecipe(), characters).tokens == (BLANK, " ", "a", "b", "c")
    assert make_vocabulary(["c"], WORD, characters).tokens == (BLANK, " c")
