"""The memory probe: a run learns, can fail and is repeatable."""

import math
from dataclasses import replace

import pytest

from research.probes.finding import Spread
from research.probes.memory import Run, extended, memory_jobs, summarise, train
from research.probes.problems import PROBLEMS
from speechgru.errors import SpeechgruError

SHORT = Run("adding", 4, 0.02, "gru", 1, steps=300, evaluate_every=50, hidden_size=16)
CHANCE = PROBLEMS["adding"].chance


def test_a_gru_learns_to_add_over_four_frames() -> None:
    record = train(SHORT)
    assert record["errors"][-1] < CHANCE / 4
    assert record["solved"] is None or record["errors"][-1] < PROBLEMS["adding"].solved
    assert record == train(SHORT)
    assert record != train(replace(SHORT, seed=2))


def test_without_learning_nothing_is_solved() -> None:
    record = train(replace(SHORT, steps=100, learning_rate=1e-12))
    assert record["solved"] is None
    assert record["errors"][-1] > CHANCE


def test_a_gradient_that_is_not_finite_ends_a_run() -> None:
    record = train(replace(SHORT, learning_rate=1e30, cell="rnn_relu"))
    assert (record["diverged"], record["solved"]) == (True, None)


def test_an_error_that_is_not_finite_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter([0.2, math.inf])
    broken = replace(PROBLEMS["adding"], error=lambda *_: next(errors))
    monkeypatch.setitem(PROBLEMS, "adding", broken)
    record = train(SHORT)
    assert (record["diverged"], record["errors"]) == (True, [0.2])


def test_runs_are_summed_up_by_problem_length_and_rate() -> None:
    records = []
    for cell, rate, seed in [("rnn", 0.1, 1), ("gru", 0.1, 1), ("gru", 0.1, 2), ("gru", 0.2, 1)]:
        run = Run("adding", 4, rate, cell, seed, steps=300)
        results = {"errors": [0.2, 0.005 * seed], "solved": 100 * seed, "largest_gradient": 1.0,
                   "diverged": False}  # fmt: skip
        records.append(memory_jobs([run])[0].settings | results)
    records[0] |= {"errors": [], "solved": None, "diverged": True}
    finding = summarise(records)
    assert list(finding.figures) == ["memory-adding-4-rate-0.1", "memory-adding-4-rate-0.2"]
    rnn, gru = finding.tables[0].rows
    assert (rnn["cell"], rnn["solved"], rnn["diverged"], rnn["steps to solve"]) == (
        "rnn", 0, 1, None,
    )  # fmt: skip
    assert rnn["last mean squared error"] == Spread(CHANCE, CHANCE, CHANCE)
    assert (gru["runs"], gru["solved"]) == (2, 2)
    assert gru["steps to solve"] == Spread(150, 100, 200)
    assert gru["last mean squared error"] == Spread(0.0075, 0.005, 0.01)


def test_curves_are_extended_to_the_last_step() -> None:
    assert extended([0.3, 0.009], 4, CHANCE) == [0.3, 0.009, 0.009, 0.009]
    assert extended([], 2, CHANCE) == [CHANCE, CHANCE]


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (replace(SHORT, problem="sort"), r"'sort'.*adding, copy"),
        (replace(SHORT, problem="copy", length=19), r"19 frames.*20"),
        (replace(SHORT, cell="grus"), "'grus'"),
    ],
)
def test_wrong_settings_are_refused(run: Run, named: str) -> None:
    with pytest.raises(SpeechgruError, match=named):
        memory_jobs([run])
