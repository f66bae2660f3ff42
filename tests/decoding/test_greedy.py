"""Best-path decoding, on paths one can check by eye."""

import numpy as np
import pytest

from speechgru.decoding import greedy


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        # the best token of each frame; "-" is the blank
        ("", ""),
        ("---", ""),
        ("aab-b-", "abb"),  # repeats merge before blanks go
        ("aaa", "a"),
        ("-aba-", "aba"),
        ("a-a", "aa"),
    ],
)
@pytest.mark.parametrize("letters", ["-ab", "ab-"])
def test_a_path_is_read(path, tokens, letters):
    """Whichever number the blank has."""
    best = [letters.index(letter) for letter in path]
    log_probs = np.log(np.eye(3, dtype=np.float32)[best].reshape(-1, 3) + 0.1)
    assert "".join(letters[token] for token in greedy(log_probs, letters.index("-"))) == tokens
