"""Training: against the formulas written plainly, and against another toolkit."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.errors import LanguageModelError
from speechgru.lm import smoothing
from speechgru.lm.arpa import arpa_bytes
from speechgru.lm.counting import read_corpus
from speechgru.lm.ngram import NGram
from speechgru.lm.smoothing import train
from speechgru.recipe import TextRecipe
from speechgru.text import normalise
from tests.lm.reference import KneserNey, WittenBell
from tests.lm.texts import corpus, zipf_sentences


def word_probability(model: NGram, history: list[str], word: str) -> float:
    return math.exp(model.scores([*history, word], start=False, end=False)[-1])


def test_modified_kneser_ney_equals_the_formulas() -> None:
    sentences = zipf_sentences(400)
    trained = train(corpus(sentences), 3, "word")
    assert trained.smoothing == ("kneser-ney",) * 3
    reference = KneserNey([sentence.split() for sentence in sentences], 3)
    rng = np.random.default_rng(1)
    names = sorted(reference.words - {"</s>"})
    for i in range(300):
        history = list(rng.choice(names, 2))
        if i % 3:  # contexts of the text
            words = ["<s>", *sentences[i].split()]
            history = words[-2:]
        for word in (str(rng.choice(names)), "</s>", "<unk>"):
            expected = reference.word(tuple(history), word)
            assert word_probability(trained.model, history, word) == pytest.approx(expected, 1e-5)


def test_too_few_counts_fall_back_to_witten_bell() -> None:
    sentences = ["one two", "two one two", "one"]
    trained = train(corpus(sentences), 3, "word")
    assert trained.smoothing == ("witten-bell",) * 3
    reference = WittenBell([sentence.split() for sentence in sentences], 3)
    for history in (["<s>", "one"], ["one", "two"], ["two", "two"], ["two"], []):
        for word in ("one", "two", "</s>", "<unk>"):
            expected = reference.word(tuple(history), word)
            assert word_probability(trained.model, history, word) == pytest.approx(expected, 1e-5)


def test_orders_fall_back_one_by_one() -> None:
    """Ten words said very often have no counts of 1 to 4, but their trigrams may."""
    rng = np.random.default_rng(0)
    weights = 0.5 ** np.arange(10)
    sentences = [
        " ".join(f"w{word}" for word in rng.choice(10, 4, p=weights / weights.sum()))
        for _ in range(300)
    ]
    trained = train(corpus(sentences), 3, "word")
    assert trained.smoothing[0] == "witten-bell"
    assert trained.smoothing[2] == "kneser-ney"
    assert largest_deviation(trained.model) < 1e-5


def largest_deviation(model: NGram) -> float:
    """How far from 1 the probabilities of all words sum up to, in any context."""
    tables = model.tables
    contexts: list[list[str]] = [[]]
    parents = model.parents()
    for node in range(1, len(tables.back_off)):
        contexts.append([*contexts[parents[node]], model.words[tables.word[node]]])
    words = [word for word in model.words if word != "<s>"]
    return max(
        abs(sum(word_probability(model, context, word) for word in words) - 1)
        for context in contexts
    )


@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=5).map(" ".join), max_size=8),
    st.integers(1, 5),
    st.sampled_from(["word", "character"]),
)
def test_any_text_gives_a_distribution(lines: list[str], order: int, unit: str) -> None:
    if not any(lines):
        with pytest.raises(LanguageModelError):
            corpus(lines, unit)
        return
    model = train(corpus(lines, unit), order, unit).model  # type: ignore[arg-type]
    assert largest_deviation(model) < 1e-5


def test_the_order_is_that_of_the_longest_sentence() -> None:
    assert train(corpus(["one", "two"]), 9, "word").model.order == 3  # <s> one </s>


def test_words_outside_the_vocabulary_are_unknown() -> None:
    model = train(read_corpus(["a b", "a c"], "word", str, ["a", "b"]), 2, "word").model
    assert model.words == ("<unk>", "<s>", "</s>", "a", "b")
    assert word_probability(model, ["a"], "c") == word_probability(model, ["a"], "<unk>")
    assert word_probability(model, ["a"], "c") == pytest.approx(
        word_probability(model, ["a"], "b"), 0.01
    )


def test_a_vocabulary_is_normalised_as_the_text_is() -> None:
    text, vocabulary = ["New York and Paris"], ["New York", "PARIS", "new"]
    read = read_corpus(text, "word", str.lower, vocabulary)
    assert (read.words[3:], read.unknown) == (("new", "paris", "york"), 1)
    read = read_corpus(text, "character", str.lower, vocabulary)
    assert (read.words[3:], read.unknown) == (("<space>", *"aeiknoprswy"), 1)


@given(st.lists(st.text(max_size=12), max_size=5))
def test_word_by_word_normalisation_is_that_of_lines(lines: list[str]) -> None:
    for recipe in (TextRecipe(), TextRecipe(case="upper", punctuation="keep")):
        text = [normalise(line, recipe) for line in lines]
        kept = [line.split() for line in text if line]
        if not kept or "<" in "".join(lines):  # markers of sentences
            continue
        read = read_corpus(lines, "word", lambda raw, recipe=recipe: normalise(raw, recipe))
        expected = [["<s>", *words, "</s>"] for words in kept]
        assert [read.words[n] for n in read.numbers] == [w for words in expected for w in words]


def test_character_models_see_one_space_between_words() -> None:
    read = corpus(["ab  c", "", "d"], "character")
    assert " ".join(read.words[n] for n in read.numbers) == ("<s> a b <space> c </s> <s> d </s>")


def test_markers_of_sentences_are_no_words() -> None:
    read = read_corpus(["<s> ONE </s>"], "word", lambda raw: raw.strip("<>/").lower())
    assert [read.words[n] for n in read.numbers] == ["<s>", "one", "</s>"]


def test_discounted_counts_equal_kaldingram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It trains unmodified Kneser–Ney without interpolation: the same with one discount per order,
    and without the lower order's share."""
    train_module = pytest.importorskip("kaldingram.train")
    sentences = zipf_sentences(2000, words=1000)
    (tmp_path / "text").write_text("\n".join(sentences) + "\n")
    other = train_module.NgramCounts(3)
    other.add_raw_counts_from_file(str(tmp_path / "text"))
    other.cal_discounting_constants()
    other.cal_f()

    def one_discount(count: np.ndarray) -> np.ndarray:
        n1, n2 = np.bincount(np.clip(count, 0, 3), minlength=3)[1:3]
        return np.full(3, n1 / (n1 + 2 * n2))

    monkeypatch.setattr(smoothing, "_discounts", one_discount)
    model = train(corpus(sentences), 3, "word").model
    compared = 0
    for history, found in other.counts[2].items():
        for word, expected in found.word_to_f.items():
            node = _node(model, [*history, word])
            lower = word_probability(model, [history[1]], word)
            share = math.exp(model.tables.back_off[_node(model, [*history])]) * lower
            ours = math.exp(model.tables.log_prob[node]) - share
            assert ours == pytest.approx(expected, abs=1e-6)
            compared += 1
    assert compared > 3000


def _node(model: NGram, words: list[str]) -> int:
    tables, node = model.tables, 0
    for word in words:
        first, last = tables.first[node], tables.first[node + 1]
        node = first + int(np.searchsorted(tables.word[first:last], model.number(word)))
        assert tables.word[node] == model.number(word)
    return node


def test_the_same_text_gives_the_same_file() -> None:
    files = {arpa_bytes(train(corpus(zipf_sentences(50)), 3, "word").model, True) for _ in range(2)}
    assert len(files) == 1


@pytest.mark.parametrize("order", [0, -1, 99])
def test_impossible_orders_are_refused(order: int) -> None:
    with pytest.raises(LanguageModelError, match=str(order)):
        train(corpus(["one"]), order, "word")
