"""Hot words: parsing, credit, and a cost that does not grow with their number."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.decoding import BeamSearch, Emission
from speechgru.decoding.graph import Options
from speechgru.decoding.hotwords import DEFAULT_BOOST, build_automaton, follow, read_hotwords
from speechgru.decoding.lexicon import build_lexicon
from speechgru.errors import LanguageModelError
from speechgru.text import Vocabulary

SPACE = 1
phrase = st.lists(st.integers(2, 3), min_size=1, max_size=3)
phrases = st.dictionaries(
    st.lists(phrase, min_size=1, max_size=2).map(lambda p: tuple(_joined(p))),
    st.floats(0.1, 3),
    min_size=1,
    max_size=5,
)


def _joined(parts: list[list[int]]) -> list[int]:
    return list(itertools.chain(*([SPACE, *part] for part in parts)))[1:]


@given(phrases, st.lists(st.integers(1, 3), max_size=12), st.booleans())
def test_credit_is_that_of_the_phrases_in_the_text(
    hot: dict[tuple[int, ...], float], text: list[int], spaced: bool
) -> None:
    boundary = SPACE if spaced else -1
    automaton = build_automaton(hot, boundary)
    edge = [SPACE] if spaced else []
    tokens = [*edge, *text, *edge]
    state, credit, walked = 0, 0.0, []
    for token in tokens:
        state = follow(automaton, state, token)
        walked.append(token)
        credit += float(automaton[state]["done"])
        assert credit == pytest.approx(completed(hot, walked, edge))
        assert automaton[state]["pending"] == pytest.approx(begun(hot, walked, edge))


def completed(hot: dict[tuple[int, ...], float], text: list[int], edge: list[int]) -> float:
    total = 0.0
    for tokens, boost in hot.items():
        wanted = [*edge, *tokens, *edge]
        times = sum(text[i : i + len(wanted)] == wanted for i in range(len(text)))
        total += times * boost * len(tokens)
    return total


def begun(hot: dict[tuple[int, ...], float], text: list[int], edge: list[int]) -> float:
    """The largest credit of a phrase that the end of the text begins but does not complete."""
    credits = [0.0]
    for tokens, boost in hot.items():
        wanted = [*edge, *tokens, *edge]
        for length in range(1, len(wanted)):
            if text[-length:] == wanted[:length] and length <= len(text):
                credits.append(boost * (length - len(edge)))
    return max(credits)


def test_a_phrase_and_its_boost_are_read(tmp_path: Path) -> None:
    assert read_hotwords("New York:2.5, Ann", str.lower) == {"new york": 2.5, "ann": DEFAULT_BOOST}
    separated = "東京：2、大阪，ann:3;bob\nzoe"
    expected = {"東京": 2.0, "大阪": DEFAULT_BOOST, "ann": 3.0, "bob": DEFAULT_BOOST}
    assert read_hotwords(separated, str.lower) == {**expected, "zoe": DEFAULT_BOOST}
    (tmp_path / "hot").write_text("New York:2.5\n\nann, bob\n")
    found = read_hotwords(tmp_path / "hot", lambda text: text.lower().replace(",", ""))
    assert found == {"new york": 2.5, "ann bob": DEFAULT_BOOST}


@pytest.mark.parametrize(
    "text", ["", " , ", "ann:much", "ann:-1", "ann:0", "ann:nan", ":2", "!", "ann:1e308", "10:30"]
)
def test_what_is_no_hot_word(text: str) -> None:
    with pytest.raises(LanguageModelError):
        read_hotwords(text, lambda text: text.strip("!"))


def sure(text: str, vocabulary: Vocabulary, other: dict[int, tuple[str, float]]) -> Emission:
    """A text letter by letter with blanks between; other letters at some places, with their
    log probability relative to the right one."""
    rows = []
    for place, token in enumerate(vocabulary.encode(text)):
        row = np.full(len(vocabulary), -7.0)
        row[token] = 0
        if place in other:
            letter, log_prob = other[place]
            row[vocabulary.encode(letter)[0]] = log_prob
        blank = np.full(len(vocabulary), -20.0)
        blank[0] = 0
        rows += [row, blank]
    return Emission(np.array(rows, np.float32), 0.04)


LETTERS = Vocabulary.from_texts(["ancob ker"])


def test_a_hot_word_wins_where_it_is_close() -> None:
    emission = sure("call anna", Vocabulary.from_texts(["call annek "]), {8: ("e", -3.0)})
    vocabulary = Vocabulary.from_texts(["call annek "])

    def text(hot: dict[str, float]) -> str:
        found = BeamSearch(vocabulary, Options(), hotwords=hot)(emission)
        return vocabulary.decode(found.tokens)

    assert text({}) == "call anna"
    assert text({"anne": 1.0}) == "call anne"  # 4 for the phrase against 3 of the last letter
    assert text({"anne": 0.5}) == "call anna"
    assert text({"annek": 5.0}) == "call anna"  # not completed: its credit is withdrawn
    assert text({"call anne": 0.5}) == "call anne"
    assert text({"nne": 1.0}) == "call anna"  # not a whole word


@pytest.mark.parametrize(
    ("phrase", "text", "matches"),
    [
        ("東京 cat", "大東京 cat", True),
        ("東京 cat", "大東京 category", False),
        ("cat 東京", "cat 東京都", True),
        ("cat 東京", "bobcat 東京都", False),
        ("東京2020", "大東京2020年", True),
        ("コーヒー", "熱いコーヒーを", True),
        ("東京cat", "大東京category", False),
        ("cat東京", "bobcat東京都", False),
    ],
)
def test_words_of_a_script_without_spaces_are_parts_of_others(
    phrase: str, text: str, matches: bool
) -> None:
    vocabulary = Vocabulary.from_texts([phrase, text])
    hot = BeamSearch(vocabulary, Options(), hotwords={phrase: 1.0})
    emission = sure(text, vocabulary, {})
    (found,), (plain,) = (one.nbest(emission, 1) for one in (hot, BeamSearch(vocabulary)))
    assert vocabulary.decode(found.tokens) == text
    assert found.score - plain.score == pytest.approx(len(phrase) if matches else 0.0)


def test_hot_words_in_other_spellings() -> None:
    vocabulary = Vocabulary.from_texts(["for four"])
    lexicon = build_lexicon([("for", "for"), ("4", "four")], vocabulary)
    emission = sure("for", vocabulary, {})
    rows = np.repeat(emission.log_probs, 2, axis=0)
    rows[2] = np.log(np.full(len(vocabulary), 0.02))
    plain = BeamSearch(vocabulary, Options(), None, lexicon)
    hot = BeamSearch(vocabulary, Options(), None, lexicon, {"4": 4.0})
    assert plain(Emission(rows, 0.04)).text == "for"
    assert hot(Emission(rows, 0.04)).text == "4"


def test_letters_that_the_model_cannot_write() -> None:
    with pytest.raises(LanguageModelError, match="z"):
        BeamSearch(LETTERS, Options(), hotwords={"zoe": 1.0})


@pytest.mark.parametrize("source", ["names.txt", "../names", "C:\\names.TXT"])
def test_a_file_that_does_not_exist_is_no_phrase(source: str) -> None:
    with pytest.raises(LanguageModelError, match="no such file"):
        read_hotwords(source, str.lower)
    assert list(read_hotwords("st. john, 24/7, and/or", str.lower)) == [
        "st. john",
        "24/7",
        "and/or",
    ]


def test_comments_of_a_file_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "hot").write_text("# names\nann\n  #bob\n")
    assert list(read_hotwords(tmp_path / "hot", str.lower)) == ["ann"]
