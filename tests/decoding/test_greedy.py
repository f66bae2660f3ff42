"""Best-path decoding, on paths one can check by eye."""

import math

import numpy as np
import pytest

from speechgru.decoding import Emission, Greedy
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary(("<blank>", "a", "b"))
PEAK = math.log(0.8)


def emission(path: str) -> Emission:
    """0.8 for the letter of each frame ("-" is the blank), 0.1 for each of the others."""
    best = ["-ab".index(letter) for letter in path]
    probabilities = 0.1 + 0.7 * np.eye(3)[best].reshape(-1, 3)
    return Emission(np.log(probabilities).astype(np.float32), 0.04)


@pytest.mark.parametrize(
    ("path", "tokens", "frames"),
    [
        ("", "", ()),
        ("---", "", ()),
        ("aab-b-", "abb", (0, 2, 4)),  # repeats merge before blanks go
        ("aaa", "a", (0,)),
        ("-aba-", "aba", (1, 2, 3)),
        ("a-a", "aa", (0, 2)),
    ],
)
def test_the_best_path(path, tokens, frames):
    hypothesis = Greedy(VOCABULARY)(emission(path))
    assert VOCABULARY.decode(hypothesis.tokens) == tokens
    assert hypothesis.frames == frames
    assert hypothesis.score == pytest.approx(len(path) * PEAK, rel=1e-6)


def test_the_score_is_the_log_probability_of_the_best_path_of_all():
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet([0.3] * 3, size=6)).astype(np.float32)
    every_path = np.stack(np.meshgrid(*[range(3)] * 6), -1).reshape(-1, 6)
    scores = log_probs[np.arange(6), every_path].sum(1)
    assert Greedy(VOCABULARY)(Emission(log_probs, 0.04)).score == pytest.approx(scores.max())


def test_the_result_is_plain_python():
    """Tokens and frames go to JSON, and are compared."""
    hypothesis = Greedy(VOCABULARY)(emission("-ab"))
    assert {type(value) for value in (*hypothesis.tokens, *hypothesis.frames)} == {int}
    assert type(hypothesis.score) is float
