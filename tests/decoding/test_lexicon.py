"""Lexicons: files, trees, and words that cannot be written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.decoding.lexicon import build_lexicon, read_vocabulary, word_numbers
from speechgru.decoding.trie import build_trie
from speechgru.errors import LanguageModelError
from speechgru.lm.smoothing import train
from speechgru.text import Vocabulary
from tests.lm.texts import corpus

LETTERS = Vocabulary.from_texts(["abcdefghijklmnopqrstuvwxyz '"])


@given(st.lists(st.lists(st.integers(0, 4), max_size=6).map(tuple), max_size=20))
def test_a_tree_has_every_sequence_once(sequences: list[tuple[int, ...]]) -> None:
    token, first, parent, end = build_trie(sequences)
    paths: list[tuple[int, ...]] = [()]
    for node in range(1, len(token)):
        paths.append((*paths[parent[node]], int(token[node])))
        assert first[parent[node]] <= node < first[parent[node] + 1]
    assert [paths[node] for node in end] == sequences
    prefixes = {sequence[:n] for sequence in sequences for n in range(len(sequence) + 1)} | {()}
    assert sorted(paths) == sorted(prefixes)
    for node in range(len(token)):
        assert np.all(np.diff(token[first[node] : first[node + 1]]) > 0)


def test_lines_of_a_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("# comment\nOne\n\n2 two\nNew York\tnew york\nYork\tyork\n7up  Seven up\n")
    assert read_vocabulary(path, str.lower) == [
        ("one", "one"),
        ("2", "two"),
        ("New York", "new york"),
        ("York", "york"),
        ("7up", "seven up"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "--\n",
        "hello HH AH0 L OW1\nworld W ER1 L D\n",
        "a\n\xff\n",
        "one,two\n",
        "one; two\n",
        "{\\rtf1 one}",
        "3\none\ntwo/SM\nthree/1,2\n",
    ],
)
def test_what_is_no_vocabulary(text: str, tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes(text.encode("latin-1"))
    with pytest.raises(LanguageModelError, match="words") as error:
        read_vocabulary(tmp_path / "words", lambda text: text.strip("-"))
    assert "\n" not in str(error.value)


def test_words_that_cannot_be_written_are_counted() -> None:
    lexicon = build_lexicon([("one", "one"), ("zwölf", "zwölf"), ("4", "4")], LETTERS)
    assert lexicon.words == ("one",)
    assert lexicon.unwritable == ("zwölf", "4")
    with pytest.raises(LanguageModelError, match="один"):
        build_lexicon([("один", "один"), ("два", "два")], LETTERS)


def test_capitals_and_punctuation_of_a_language_model_are_normalised() -> None:
    lm = train(corpus(["Paris paris it's U.S. e-mail"]), 1, "word").model

    def normalise(text: str) -> str:
        return text.lower().replace(".", "").replace("-", " ")

    numbers = word_numbers(lm, LETTERS, normalise)
    assert {word: sorted(lm.words[n] for n in found) for word, found in numbers.items()} == {
        "paris": ["Paris", "paris"],
        "it's": ["it's"],
        "us": ["U.S."],
        "e mail": ["e-mail"],
    }
    lexicon = build_lexicon([(word, word) for word in numbers], LETTERS, lm, numbers)
    assert sorted(lexicon.words) == ["e mail", "it's", "paris", "paris", "us"]


def test_words_that_the_language_model_lacks_are_its_unknown_word() -> None:
    lm = train(corpus(["one two", "one"]), 1, "word").model
    numbers = word_numbers(lm, LETTERS, str)
    lexicon = build_lexicon([("one", "one"), ("three", "three")], LETTERS, lm, numbers)
    known = dict(zip(lexicon.words, lexicon.numbers.tolist(), strict=True))
    assert known == {"one": lm.number("one"), "three": 0}


def test_words_in_place_of_a_file_are_refused() -> None:
    with pytest.raises(LanguageModelError, match="zero,one: no such file; expected"):
        read_vocabulary("zero,one", str.lower)


def test_phrases_and_letters_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "words"
    for doubtful in ("turn on\nno\n", "one\to n e\n", "one o n e\n"):
        caplog.clear()
        path.write_text(doubtful)
        read_vocabulary(path, str.strip)
        assert [record.levelname for record in caplog.records] == ["WARNING"], doubtful
    caplog.clear()
    path.write_text("7 seven\n7up seven up\nturn on\tturn on\nturn\n")
    read_vocabulary(path, str.strip)
    assert not caplog.records


def test_letters_in_the_form_of_flashlight(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text(
        "one\to n e |\n7up s e v e n | u p |\nABLE A B L E |\ncafe\u0301 c a f e\u0301 |\n"
    )
    assert read_vocabulary(path, lambda text: text.strip().lower()) == [
        ("one", "one"),
        ("7up", "seven up"),
        ("ABLE", "able"),
        ("café", "café"),
    ]
    assert not caplog.records


def test_words_before_a_bar_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("NY\tnew york |\npipe\t|\tx|\n")
    found = read_vocabulary(path, lambda text: " ".join(text.replace("|", " ").split()))
    assert found == [("NY", "new york"), ("pipe", "x")]


def test_the_words_of_a_manifest_and_a_language_model(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text(
        '{"audio_filepath": "a.wav", "duration": 1, "text": "One two one"}\n'
        '{"audio_filepath": "b.wav", "duration": 1, "text": "three"}\n'
    )
    found = read_vocabulary(path, str.lower)
    assert found == [("one", "one"), ("two", "two"), ("three", "three")]
    path.write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 one\n\n\\end\\\n")
    with pytest.raises(LanguageModelError, match="ARPA"):
        read_vocabulary(path, str.lower)


def test_a_spelling_that_cannot_be_written_is_shown() -> None:
    with pytest.raises(LanguageModelError, match="one spelled 123"):
        build_lexicon([("one", "123"), ("two", "45")], LETTERS)
