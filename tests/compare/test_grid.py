"""The course of a comparison: choices before test, once each, failures apart, kill and go on."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from asking import MEANS, Asked

from speechgru.compare import Means, ask, compare, place, work
from speechgru.compare.grid import choose_rate
from speechgru.compare.plan import make_plan
from speechgru.compare.question import with_value
from speechgru.errors import AudioError, SpeechgruError
from speechgru.files import exclusive_lock
from speechgru.recipe import Recipe

DOCUMENTED = Path(__file__).parents[2] / "docs" / "results"
KEPT = sorted(plan.parent for plan in DOCUMENTED.glob("*/plan.json"))


def test_the_course_of_training_is_kept(finished: Path):
    result = json.loads((finished / "results" / "gru-seed1.json").read_text())
    assert [row["epoch"] for row in result["curve"]] == [1, 2, 3]
    for row in result["curve"]:
        assert 0 < row["grad_norm_median"] <= row["grad_norm_max"]
        assert "seconds" not in row
    assert str(finished) not in json.dumps(result)


def test_choices_are_on_disk_before_test_and_test_is_scored_once(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scored: list[str] = []
    usual = work._score

    def watched(task: work.Task, folder: Path) -> dict[str, object]:
        rates = json.loads((tmp_path / "out/plan.json").read_text())["chosen_learning_rates"]
        assert rates[task.variant][""] == task.recipe.training.learning_rate
        scored.append(task.name)
        return usual(task, folder)

    monkeypatch.setattr(work, "_score", watched)
    question = asked(tune="lr=0.001,0.02", match="params")
    results = compare(question, tmp_path / "out", MEANS)
    assert sorted(scored) == ["gru-seed1", "rnn-seed1"]
    assert list(results.trials) == ["rnn", "gru"]
    for system in results.systems:
        trials = {
            trial.learning_rate: trial.dev_wer.median for trial in results.trials[system.name]
        }
        assert list(trials) == [0.001, 0.02]
        assert trials[system.learning_rates[0]] == min(trials.values())

    before = (tmp_path / "out" / "results.json").read_bytes()
    compare(question, tmp_path / "out", MEANS)
    assert len(scored) == 2
    assert (tmp_path / "out" / "results.json").read_bytes() == before


def test_ties_of_tuning_go_to_characters_then_to_the_lower_rate():
    def trial(rate: float, wer: float, cer: float) -> dict[str, object]:
        return {"run": "x", "learning_rate": rate, "dev_wer": wer, "curve": [{"dev_cer": cer}]}

    assert choose_rate([trial(0.1, 0.2, 0.1), trial(0.2, 0.2, 0.05)]) == 0.2
    assert choose_rate([trial(0.2, 0.2, 0.1), trial(0.1, 0.2, 0.1)]) == 0.1
    assert choose_rate([trial(0.2, 0.3, 0.0), {"run": "y", "failed": {}}]) == 0.2
    with pytest.raises(SpeechgruError, match="every learning rate failed"):
        choose_rate([{"run": "y", "failed": {}}])


def test_a_diverging_run_is_reported_and_the_rest_completes(small, tones: Path, tmp_path: Path):
    question = ask(
        small.model_copy(
            update={"training": small.training.model_copy(update={"max_bad_steps": 2})}
        ),
        vary="training.learning_rate=0.02,1.0e+30",
        test=str(tones / "test.jsonl"),
    )
    results = compare(question, tmp_path, MEANS)
    bad = question.variants[1].name
    assert list(results.failures) == [f"{bad}-seed1"]
    assert "NaN or infinity" in results.failures[f"{bad}-seed1"]
    assert results.convergence.variants[bad].attempted == 1
    assert results.systems[0].rates
    assert not results.systems[1].rates
    # A divergence is a finding, and is not tried again.
    assert compare(question, tmp_path, MEANS).failures == results.failures


def test_a_fault_that_may_pass_is_tried_again(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual = work._score

    def faulty(task: work.Task, folder: Path) -> dict[str, object]:
        if task.variant == "rnn":
            raise AudioError("a.wav: cannot be read")
        return usual(task, folder)

    monkeypatch.setattr(work, "_score", faulty)
    results = compare(asked(), tmp_path, MEANS)
    assert results.failures == {"rnn-seed1": "a.wav: cannot be read"}
    assert results.systems[1].rates
    monkeypatch.setattr(work, "_score", usual)
    assert compare(asked(), tmp_path, MEANS).failures == {}


def test_a_worker_that_is_killed_is_reported_and_its_run_tried_again(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual = place._start

    def deadly(task: work.Task) -> "subprocess.Popen[bytes]":
        if task.variant == "gru":
            return usual(task)
        return subprocess.Popen(["sh", "-c", "kill -9 $$"], stdin=subprocess.PIPE)

    monkeypatch.setattr(place, "_start", deadly)
    results = compare(asked(), tmp_path, Means("cpu", jobs=2, cost=False))
    assert list(results.failures) == ["rnn-seed1"]
    assert "ended with status -9; see " in results.failures["rnn-seed1"]
    assert results.pending == ()
    assert results.systems[1].rates
    monkeypatch.setattr(place, "_start", usual)
    assert compare(asked(), tmp_path, MEANS).failures == {}


def test_another_question_in_the_folder_is_refused(asked: Asked, finished: Path):
    with pytest.raises(SpeechgruError, match=r"another comparison.*seeds: 2 → 3"):
        compare(asked(seeds=3), finished, MEANS)


def test_other_texts_than_were_planned_are_refused(small: Recipe, tones: Path, tmp_path: Path):
    shutil.copytree(tones, tmp_path / "data")
    recipe = with_value(small, "data.dev", str(tmp_path / "data/dev.jsonl"))
    make_plan(ask(recipe, cells="rnn,gru"), tmp_path / "out")
    make_plan(ask(recipe, cells="rnn,gru"), tmp_path / "out")
    manifest = tmp_path / "data/dev.jsonl"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(SpeechgruError, match="other utterances or texts"):
        make_plan(ask(recipe, cells="rnn,gru"), tmp_path / "out")


def test_two_grids_in_one_folder_are_refused(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("speechgru.files.LOCK_TIMEOUT", 0)
    with (
        exclusive_lock(tmp_path, "another"),
        pytest.raises(SpeechgruError, match="speechgru compare"),
    ):
        compare(asked(), tmp_path, MEANS)
