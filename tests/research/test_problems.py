"""The synthetic problems: their targets, and the error of guessing."""

import numpy as np
import pytest
import torch

from research.probes.problems import BLANK, LETTERS, PROBLEMS, RECALL, RECALLED


def test_the_adding_target_is_the_sum_of_the_marked_numbers() -> None:
    x, y = PROBLEMS["adding"].draw(200, 31, np.random.default_rng(1))
    assert x.shape == (200, 31, 2)
    assert set(x[..., 1].unique().tolist()) == {0.0, 1.0}
    assert x[:, :15, 1].sum(1).eq(1).all()  # one mark in each half
    assert x[:, 15:, 1].sum(1).eq(1).all()
    torch.testing.assert_close((x[..., 0] * x[..., 1]).sum(1), y)


def test_saying_the_mean_scores_a_sixth() -> None:
    """Var(U₁ + U₂) = 2/12 = 0.1667, to 0.001 with 200,000 draws (standard error 0.0004)."""
    problem = PROBLEMS["adding"]
    x, y = problem.draw(200_000, 2, np.random.default_rng(2))
    answer = torch.full((len(x), 2, 1), float(y.mean()))
    assert problem.error(answer, y) == pytest.approx(problem.chance, abs=1e-3)
    assert problem.chance == pytest.approx(0.1667, abs=1e-4)
    assert y.mean() == pytest.approx(1.0, abs=5e-3)


def test_only_the_last_frame_answers_the_adding_problem() -> None:
    problem = PROBLEMS["adding"]
    _, y = problem.draw(50, 9, np.random.default_rng(3))
    outputs = torch.zeros(50, 9, 1)
    outputs[:, -1, 0] = y
    assert problem.error(outputs, y) == 0
    assert problem.loss(outputs, y) == 0


def test_copy_asks_for_the_first_ten_letters_after_the_mark() -> None:
    x, y = PROBLEMS["copy"].draw(64, 45, np.random.default_rng(4))
    symbols = x.argmax(-1)
    assert x.sum(-1).eq(1).all()
    assert symbols[:, -RECALLED].eq(RECALL).all()
    assert symbols[:, RECALLED:-RECALLED].eq(BLANK).all()
    assert symbols[:, :RECALLED].max() == LETTERS - 1
    assert y[:, :-RECALLED].eq(BLANK).all()
    assert y[:, -RECALLED:].equal(symbols[:, :RECALLED])


def test_guessing_letters_scores_seven_eighths() -> None:
    problem = PROBLEMS["copy"]
    x, y = problem.draw(20_000, 20, np.random.default_rng(5))
    guess = torch.zeros(len(x), 20, LETTERS + 1)
    guess[..., 3] = 1
    assert problem.error(guess, y) == pytest.approx(problem.chance, abs=5e-3)
    right = torch.nn.functional.one_hot(y, LETTERS + 1).float()
    assert problem.error(right, y) == 0
    # What forgetting costs: ten ln 8 over the frames, blanks being free.
    forgets = torch.zeros(len(x), 20, LETTERS + 1)
    forgets[:, :-RECALLED, BLANK] = 50
    forgets[:, -RECALLED:, BLANK] = -50
    assert problem.loss(forgets, y) == pytest.approx(RECALLED * np.log(8) / 20, rel=1e-4)
