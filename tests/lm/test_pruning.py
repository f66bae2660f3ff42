"""Pruned models stay distributions, and lose what the formulas say."""

from pathlib import Path

import pytest

from speechgru.lm.arpa import arpa_bytes, ngrams_by_order
from speechgru.lm.ngram import NGram
from speechgru.lm.pruning import prune_by_entropy
from speechgru.lm.smoothing import train
from speechgru.lm.text import measure
from tests.lm.reference import Backoff
from tests.lm.test_smoothing import largest_deviation
from tests.lm.texts import corpus, zipf_sentences


def ngrams(model: NGram) -> set[tuple[str, ...]]:
    return {
        tuple(model.words[number] for number in row)
        for _, rows in ngrams_by_order(model)
        for row in rows
    }


def test_rare_n_grams_are_removed() -> None:
    sentences = zipf_sentences(300)
    full = train(corpus(sentences), 3, "word").model
    model = train(corpus(sentences), 3, "word", min_count=3).model
    text = " ".join(f"<s> {sentence} </s>" for sentence in sentences)
    for ngram in ngrams(full):
        often = f" {text} ".replace(" ", "  ").count(
            "  ".join(["", *ngram, ""]).replace("   ", "  ")
        )
        assert (ngram in ngrams(model)) == (len(ngram) == 1 or often >= 3)
    assert largest_deviation(model) < 1e-5


@pytest.mark.parametrize("order", [3, 4, 5, 6])  # from 4, a context may lose its suffix
@pytest.mark.parametrize("threshold", [1e-6, 1e-4, 1e-2, 10.0])
def test_entropy_pruning_leaves_a_distribution(threshold: float, order: int) -> None:
    full = train(corpus(zipf_sentences(300)), order, "word").model
    model = prune_by_entropy(full, threshold)
    assert ngrams(model) <= ngrams(full)
    assert largest_deviation(model) < 1e-5
    if threshold == 10:
        assert model.order == 1


def test_a_context_with_one_certain_word_stays_a_distribution() -> None:
    full = train(corpus(zipf_sentences(300), "character"), 4, "character").model
    model = prune_by_entropy(full, 10.0)
    assert model.order == 4  # "w" after a space is so certain that it is kept
    assert largest_deviation(model) < 1e-5


def test_the_perplexity_rises_slowly() -> None:
    sentences = zipf_sentences(1000)
    full = train(corpus(sentences), 3, "word").model
    before = measure(full, sentences, str).perplexity
    previous = (len(ngrams(full)), before)
    for threshold in (1e-5, 1e-4, 1e-3):
        model = prune_by_entropy(full, threshold)
        now = (len(ngrams(model)), measure(model, sentences, str).perplexity)
        assert now[0] < previous[0]
        assert now[1] > previous[1]
        previous = now


@pytest.mark.parametrize("threshold", [1e-5, 1e-4])
def test_entropy_pruning_equals_kaldingram(threshold: float, tmp_path: Path) -> None:
    other = pytest.importorskip("kaldingram.prune")
    full = train(corpus(zipf_sentences(500)), 3, "word").model
    (tmp_path / "full").write_bytes(arpa_bytes(full, compress=False))
    (lm,) = other.ArpaParser().loadf(str(tmp_path / "full"))
    other.prune(lm, threshold, 1)
    other.ArpaParser().dumpf(lm, str(tmp_path / "pruned"))
    theirs = Backoff(tmp_path / "pruned")
    model = prune_by_entropy(full, threshold)
    different = {
        ngram
        for ngram in ngrams(model) ^ set(theirs.log_prob)
        if ngram[0] != "<s>"  # which it takes to be impossible, not as frequent as </s>
    }
    assert len(different) <= 0.002 * len(theirs.log_prob)  # rounding at the threshold
    for sentence in zipf_sentences(100, seed=4):
        words = sentence.split()
        ours = model.scores(words, start=False, end=False)
        expected = [
            theirs.word(tuple(words[max(0, i - 2) : i]), words[i]) for i in range(len(words))
        ]
        assert ours == pytest.approx(expected, abs=0.01)
