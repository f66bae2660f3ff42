"""The memory probe: it learns, it can fail, it goes on where it was."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from research.probes import memory
from research.probes.finding import Rows
from research.probes.memory import Plan, probe_memory, run
from research.probes.tasks import TASKS
from speechgru.errors import SpeechgruError

SHORT = Plan(lengths=(4,), cells=("gru",), seeds=1, updates=300, every=50, width=16, rates=(0.02,))


def test_a_gru_learns_to_add_over_four_frames() -> None:
    row = run(SHORT, TASKS["adding"], 4, 0.02, "gru", 1)
    assert row["errors"][-1] < TASKS["adding"].chance / 4
    assert row["solved"] is None or row["errors"][-1] < TASKS["adding"].solved
    assert row == run(SHORT, TASKS["adding"], 4, 0.02, "gru", 1)
    assert row != run(SHORT, TASKS["adding"], 4, 0.02, "gru", 2)


def test_without_learning_nothing_is_solved() -> None:
    row = run(replace(SHORT, updates=100), TASKS["adding"], 4, 1e-12, "gru", 1)
    assert row["solved"] is None
    assert row["errors"][-1] > TASKS["adding"].chance


def test_a_run_that_leaves_the_numbers_is_reported() -> None:
    wild = replace(SHORT, rates=(1e30,), cells=("rnn_relu",))
    finding = probe_memory(wild, Rows(None), lambda *_: None)
    assert finding.numbers["adding-4"]["rnn_relu"]["failed"] == 1
    (table,) = finding.tables
    assert table.rows[0][:4] == ("rnn_relu", "0 of 1", "–", "0.167")
    assert table.lines()[0].startswith("rnn_relu: runs that solved it 0 of 1; updates to solve –;")
    assert table.lines()[0].endswith("; runs that left the numbers 1")


def test_an_error_that_is_no_number_ends_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([0.2, math.inf])
    broken = replace(TASKS["adding"], error=lambda *_: next(errors))
    monkeypatch.setitem(TASKS, "adding", broken)
    finding = probe_memory(SHORT, Rows(tmp_path / "rows.jsonl"), lambda *_: None)
    found = finding.numbers["adding-4"]["gru"]
    assert (found["failed"], found["error"]["median"]) == (1, 0.2)
    assert probe_memory(SHORT, Rows(tmp_path / "rows.jsonl"), lambda *_: None) == finding


def test_finished_runs_are_kept_and_others_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int]] = []

    def measured(
        plan: Plan, task: object, length: int, rate: float, cell: str, seed: int
    ) -> dict[str, object]:
        made.append((cell, seed))
        if len(made) == 3:
            raise KeyboardInterrupt
        errors = [0.2, 0.005 * seed]
        return {"errors": errors, "solved": 100, "largest_gradient": 1.0, "failed": False}

    monkeypatch.setattr(memory, "run", measured)
    plan = Plan(lengths=(4,), cells=("rnn", "gru"), seeds=2, updates=300, every=100)
    path = tmp_path / "memory.jsonl"
    with pytest.raises(KeyboardInterrupt):
        probe_memory(plan, Rows(path), lambda *_: None)
    finding = probe_memory(plan, Rows(path), lambda *_: None)
    assert made == [("rnn", 1), ("gru", 1), ("rnn", 2), ("rnn", 2), ("gru", 2)]
    found = finding.numbers["adding-4"]["gru"]
    assert (found["runs"], found["solved"]) == (2, 2)
    assert found["error"] == {"median": 0.0075, "low": 0.005, "high": 0.01}
    assert found["updates_to_solve"]["median"] == 100
    probe_memory(replace(plan, updates=200), Rows(path), lambda *_: None)
    assert len(made) == 9  # other settings are other runs
    several = probe_memory(replace(plan, rates=(0.001, 0.01)), Rows(path), lambda *_: None)
    assert len(made) == 13
    assert set(several.figures) == {"memory-adding-4-rate-0.001", "memory-adding-4-rate-0.01"}


def test_the_chart_carries_a_solved_run_on_and_shows_chance() -> None:
    assert memory._carried_on([0.3, 0.009], 4, TASKS["adding"]) == [0.3, 0.009, 0.009, 0.009]
    assert memory._carried_on([], 2, TASKS["adding"]) == [1 / 6, 1 / 6]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(tasks=("sort",)), "task 'sort': expected one of adding, copy"),
        (Plan(tasks=("copy",), lengths=(19,)), "copy of 19 frames: expected 20 or more"),
        (Plan(cells=("grus",)), "cell 'grus': expected one of"),
    ],
)
def test_orders_that_cannot_be_met(plan: Plan, message: str) -> None:
    with pytest.raises(SpeechgruError, match=message):
        probe_memory(plan, Rows(None), lambda *_: None)


def test_bands_hold_no_nan() -> None:
    finding = probe_memory(replace(SHORT, updates=50), Rows(None), lambda *_: None)
    assert "nan" not in finding.figures["memory-adding-4"]
    assert math.isfinite(finding.numbers["adding-4"]["gru"]["error"]["median"])
