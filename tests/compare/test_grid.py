"""The course of a comparison: choices before test, once each, failures apart, kill and go on."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import MEANS, Asked

from speechgru.compare import Means, ask, compare, place, report, work
from speechgru.compare.grid import choose_rate
from speechgru.compare.plan import make_plan
from speechgru.compare.question import with_value
from speechgru.errors import AudioError, SpeechgruError
from speechgru.files import exclusive_lock
from speechgru.manifest import read_manifest
from speechgru.recipe import Recipe

DOCUMENTED = Path(__file__).parents[2] / "docs" / "results"
KEPT = sorted(plan.parent for plan in DOCUMENTED.glob("*/plan.json"))


def test_results_are_the_runs_own_scores(finished: Path, tones: Path):
    results = json.loads((finished / "results.json").read_text())
    test = read_manifest(tones / "test.jsonl")
    assert results["scored_on"] == "test"
    assert results["failures"] == {}
    assert [row["name"] for row in results["systems"]] == ["rnn", "gru"]
    for row in results["systems"]:
        runs = [finished / "runs" / f"{row['name']}-seed{k}" for k in (1, 2)]
        scores = [json.loads((run / "results/test/score.json").read_text()) for run in runs]
        assert row["wer"] == [score["wer"] for score in scores]
        assert row["wer_mean"] == pytest.approx(np.mean(row["wer"]))
        assert row["wer_std"] == pytest.approx(np.std(row["wer"], ddof=1))
        assert row["utterances"] == len(test)
        assert row["words"] == sum(len(u.text.split()) for u in test)
    rnn, gru = results["systems"]
    for pairs, measure in (("pairs", "wer"), ("character_pairs", "cer")):
        (pair,) = results[pairs]
        assert (pair["a"], pair["b"], pair["seeds"]) == ("rnn", "gru", [2, 2])
        rates = [pair["rate_a"], pair["rate_b"]]
        assert rates == pytest.approx([rnn[f"{measure}_mean"], gru[f"{measure}_mean"]])
        assert pair["difference"] == pytest.approx(rates[0] - rates[1])
        assert f"{measure.upper()} {100 * rates[0]:.2f} % against" in pair["sentence"]
    assert rnn["wer_mean"] != rnn["cer_mean"]


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
    trials = results["learning_rates"]
    assert {name: [row["learning_rate"] for row in rows] for name, rows in trials.items()} == {
        "rnn": [0.001, 0.02],
        "gru": [0.001, 0.02],
    }
    for row in results["systems"]:
        best = min(trials[row["name"]], key=lambda trial: trial["dev_wer"])["dev_wer"]
        chosen = next(
            t for t in trials[row["name"]] if t["learning_rate"] == row["learning_rates"][0]
        )
        assert chosen["dev_wer"] == best

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
    assert list(results["failures"]) == [f"{bad}-seed1"]
    assert "NaN or infinity" in results["failures"][f"{bad}-seed1"]
    assert results["trainability"]["systems"][bad]["diverged"] == 1
    assert "wer" in results["systems"][0]
    assert "wer" not in results["systems"][1]
    html = (tmp_path / "report.html").read_text()
    assert "Runs without a result" in html
    # A divergence is a finding, and is not tried again.
    assert compare(question, tmp_path, MEANS)["failures"] == results["failures"]


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
    assert results["failures"] == {"rnn-seed1": "a.wav: cannot be read"}
    assert "wer" in results["systems"][1]
    monkeypatch.setattr(work, "_score", usual)
    assert compare(asked(), tmp_path, MEANS)["failures"] == {}


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
    assert list(results["failures"]) == ["rnn-seed1"]
    assert "ended with status -9; see " in results["failures"]["rnn-seed1"]
    assert results["pending"] == []
    assert "wer" in results["systems"][1]
    monkeypatch.setattr(place, "_start", usual)
    assert compare(asked(), tmp_path, MEANS)["failures"] == {}


@pytest.mark.parametrize("name", ["cost.json", "results/gru-seed1.json"])
def test_a_damaged_file_is_named(finished: Path, tmp_path: Path, name: str):
    out = shutil.copytree(finished, tmp_path / "out")
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("{half")
    with pytest.raises(SpeechgruError, match=Path(name).name):
        report(out)


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


def test_errors_against_other_references_are_not_compared(finished: Path, tmp_path: Path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    plan = json.loads((out / "plan.json").read_text())
    plan["question"]["vary"] = "text.case"
    (out / "plan.json").write_text(json.dumps(plan))
    results = report(out)
    assert (results["pairs"], results["by_length"]) == ([], None)
    assert "No two variants have results that can be compared." in (out / "report.md").read_text()


def test_two_grids_in_one_folder_are_refused(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("speechgru.files.LOCK_TIMEOUT", 0)
    with (
        exclusive_lock(tmp_path, "another"),
        pytest.raises(SpeechgruError, match="speechgru compare"),
    ):
        compare(asked(), tmp_path, MEANS)


def test_held_out_speakers_are_pooled(asked: Asked, tones: Path, tmp_path: Path):
    results = compare(asked(folds="speaker", cells="rnn,gru"), tmp_path, MEANS)
    everyone = [u for s in ("train", "dev", "test") for u in read_manifest(tones / f"{s}.jsonl")]
    assert results["folds"] == ["s0", "s1", "s2", "s3"]
    for row in results["systems"]:
        assert row["utterances"] == len(everyone)
        assert row["words"] == sum(len(u.text.split()) for u in everyone)
        assert row["speakers"] == 4
        assert row["runs"] == 4
        assert row["ci_unit"] == "speaker"
    # Four are too few to stand for all speakers, but here each has models of its own.
    by_length = results["by_length"]
    measures = (results["pairs"], results["character_pairs"], by_length["pairs_on_longest"])
    for (pair,) in measures:
        assert (pair["unit"], pair["units"], pair["held_out"]) == ("speaker", 4, True)


def test_the_report_needs_results_alone(finished: Path, tmp_path: Path):
    for name in ("plan.json", "results"):
        source = finished / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    report(tmp_path)
    for name in ("results.json", "report.html", "report.md"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def flat(values: Any, name: str = "") -> dict[str, Any]:
    """Nested JSON as one table: {"systems.0.wer_mean": 0.1, …}."""
    if not isinstance(values, dict | list):
        return {name: values}
    within = values.items() if isinstance(values, dict) else enumerate(values)
    return {k: v for key, value in within for k, v in flat(value, f"{name}.{key}").items()}


@pytest.mark.parametrize("kept", KEPT, ids=lambda folder: folder.name)
def test_numbers_of_kept_comparisons_are_reproduced(kept: Path, tmp_path: Path):
    """Up to a processor's rounding."""
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    ours = flat(report(tmp_path))
    theirs = flat(json.loads((kept / "results.json").read_text()))
    for name, value in ours.items():
        near = isinstance(value, float)
        expected = pytest.approx(theirs[name], rel=1e-9, abs=1e-12) if near else theirs[name]
        assert value == expected, name


def test_a_folder_without_a_comparison_is_explained(tmp_path: Path):
    with pytest.raises(SpeechgruError, match=r"plan\.json: no such file"):
        report(tmp_path)
