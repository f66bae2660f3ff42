"""Forced alignment, against torchaudio's and with every way of saving memory."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchaudio.functional import forced_align

from speechgru.decoding import alignment
from speechgru.decoding.alignment import STAR, align


def emission(frames: int, seed: int, tokens: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.full(tokens, 0.3), frames) + 1e-9).astype(np.float32)


def reference(log_probs: np.ndarray, tokens: tuple[int, ...]) -> tuple[int, ...]:
    path = forced_align(torch.from_numpy(log_probs)[None], torch.tensor([tokens]))[0][0].tolist()
    return tuple(i for i, token in enumerate(path) if token and (i == 0 or path[i - 1] != token))


@given(st.integers(1, 60), st.lists(st.integers(1, 4), min_size=1, max_size=20), st.integers(0, 99))
def test_it_is_the_reference_s(frames, tokens, seed):
    log_probs = emission(frames, seed)
    needed = len(tokens) + sum(a == b for a, b in pairwise(tokens))
    found = align(log_probs, tuple(tokens))
    assert found == (reference(log_probs, tuple(tokens)) if needed <= frames else ())


@pytest.mark.parametrize("every", [1, 7, 1000])
@pytest.mark.parametrize("margin", [50.0, np.inf])
def test_blocks_and_windows_change_nothing(every, margin):
    tokens = np.random.default_rng(0).integers(1, 5, 80).astype(np.int32)
    path = [0, *(t for token in tokens.tolist() for t in (token, 0, 0))]
    log_probs = np.log(np.eye(5)[path] * 0.95 + 0.01).astype(np.float32)
    whole = alignment._viterbi(log_probs, tokens, len(log_probs), np.inf)
    np.testing.assert_array_equal(alignment._viterbi(log_probs, tokens, every, margin), whole)
    assert whole.tolist() == list(range(1, len(path), 3))


def test_a_window_that_loses_the_path_is_not_the_end(monkeypatch):
    """40 tokens that were not spoken."""
    monkeypatch.setattr(alignment, "EXACT_CELLS", 0)
    monkeypatch.setattr(alignment, "MARGIN", 1.0)
    log_probs = np.log(np.eye(5)[[1, 0] * 30 + [2, 0] * 30] * 0.95 + 0.01).astype(np.float32)
    found = align(log_probs, (1,) * 30 + (3, 4) * 20 + (2,) * 5)
    assert len(found) == 75
    assert list(found) == sorted(set(found))


def test_a_star_takes_what_is_between():
    path = [0, 1, 0, 3, 4, 3, 0, 2, 0]
    log_probs = np.log(np.eye(5)[path] * 0.95 + 0.01).astype(np.float32)
    first, star, last = align(log_probs, (1, STAR, 2))
    assert (first, last) == (1, 7)
    assert 2 <= star <= 3
