"""Carrying out a comparison: choices before test, each run scored once, failures kept apart, and
what is finished is not done again."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import OPTIONS, MakeSpec
from msgspec import structs
from pydantic import TypeAdapter

from speechgru import workers
from speechgru.checkpoint import load_model
from speechgru.compare import ComparisonSpec, RunOptions, parse, run_comparison, runner
from speechgru.compare.analysis import read_analysis
from speechgru.compare.plan import PlannedRun, make_plan, read_plan
from speechgru.compare.runner import (
    Failure,
    RunResult,
    Task,
    TrainedModel,
    choose_rate,
    read_results,
)
from speechgru.errors import AudioError, Diverged, SpeechgruError
from speechgru.files import exclusive_lock
from speechgru.manifest import read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.recipe import Recipe
from speechgru.recipe_file import override
from speechgru.training.state import EpochMetrics
from speechgru.workers import Work

CPU = torch.device("cpu")


def scored(folder: Path) -> dict[str, float]:
    """Run → WER of the runs that finished."""
    return {
        name: sum(result.scores.errors) / sum(result.scores.words)
        for name, result in read_results(folder).items()
        if result.scores is not None
    }


def failures(folder: Path) -> dict[str, Failure]:
    return {name: r.failure for name, r in read_results(folder).items() if r.failure is not None}


def test_results_are_the_runs_own_scores(finished: Path, tones: Path):
    test = read_manifest(tones / "test.jsonl")
    results = read_results(finished)
    assert set(results) == {"rnn-seed1", "rnn-seed2", "gru-seed1", "gru-seed2"}
    assert failures(finished) == {}
    for name, result in results.items():
        assert result.scores is not None
        score = json.loads((finished / "runs" / name / "results/test/score.json").read_text())
        assert sum(result.scores.errors) / sum(result.scores.words) == score["wer"]
        assert sum(result.scores.character_errors) / sum(result.scores.characters) == score["cer"]
        assert result.scores.ids == tuple(u.id for u in test)
        assert result.scores.seconds == tuple(u.duration for u in test)
        assert result.scores.speakers == tuple(u.speaker for u in test)


def test_the_training_curve_and_the_model_are_recorded(finished: Path):
    result = read_results(finished)["gru-seed1"]
    assert [row.epoch for row in result.curve] == [1, 2, 3]
    for row in result.curve:
        assert row.grad_norm_median is not None
        assert row.grad_norm_max is not None
        assert 0 < row.grad_norm_median <= row.grad_norm_max
    assert 0 < result.curve[0].seconds < result.curve[-1].seconds
    assert result.model is not None
    assert load_model(finished / "runs/gru-seed1").config.model.hidden_size == 24
    assert read_plan(finished).sizes["gru"].hidden_size == 24
    assert result.model.dev_wer == min(row.dev_wer for row in result.curve)
    assert str(finished) not in (finished / "results" / "gru-seed1.json").read_text()


def test_choices_are_on_disk_before_test_and_test_is_scored_once(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    order: list[str] = []
    usual = runner._score

    def watched(task: Task, manifest: str) -> runner.Scores:
        rates = read_plan(tmp_path / "out").learning_rates
        assert rates is not None
        assert rates[task.run.variant][""] == task.recipe.training.learning_rate
        order.append(task.run.name)
        return usual(task, manifest)

    monkeypatch.setattr(runner, "_score", watched)
    spec = make_spec(tune="lr=0.001,0.02", match="params")
    run_comparison(spec, tmp_path / "out", OPTIONS)
    assert sorted(order) == ["gru-seed1", "rnn-seed1"]
    results, rates = read_results(tmp_path / "out"), read_plan(tmp_path / "out").learning_rates
    assert rates is not None
    for variant in spec.names:
        tried = {r: results[f"{variant}-lr{r:g}-seed1"] for r in spec.learning_rates}
        assert all(trial.scores is None for trial in tried.values())
        dev = {r: trial.model.dev_wer for r, trial in tried.items() if trial.model}
        assert dev[rates[variant][""]] == min(dev.values())
        assert results[f"{variant}-seed1"].learning_rate == rates[variant][""]
        best = tried[rates[variant][""]]
        assert results[f"{variant}-seed1"].curve == best.curve  # not trained again: equal seconds

    before = {f: f.read_bytes() for f in (tmp_path / "out").glob("**/*.json")}
    run_comparison(spec, tmp_path / "out", OPTIONS)
    assert len(order) == 2
    assert {f: f.read_bytes() for f in (tmp_path / "out").glob("**/*.json")} == before


def test_ties_of_tuning_go_to_characters_then_to_the_lower_rate():
    def trial(rate: float, wer: float, cer: float) -> RunResult:
        model = TrainedModel(1.0, wer)
        curve = (EpochMetrics(1, 10, rate, 1.0, dev_cer=cer), EpochMetrics(2, 20, rate, 2.0))
        return RunResult("x", "gru", 1, "", "0", rate, curve, model=model)

    failed = RunResult("y", "gru", 1, "", "0", 0.1, failure=Failure("diverged", "NaN"))
    assert choose_rate([trial(0.1, 0.2, 0.1), trial(0.2, 0.2, 0.05)]) == 0.2
    assert choose_rate([trial(0.2, 0.2, 0.1), trial(0.1, 0.2, 0.1)]) == 0.1
    assert choose_rate([trial(0.2, 0.3, 0.0), failed]) == 0.2
    assert choose_rate([replace(failed, learning_rate=0.3), failed]) == 0.1


def test_a_variant_that_diverges_at_every_rate_is_a_result_unless_all_do(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual, diverging = runner._train, ["rnn"]

    def train(task: Task, on_step: runner.OnStep) -> TrainedModel:
        if task.run.variant in diverging:
            raise Diverged("NaN")
        return usual(task, on_step)

    monkeypatch.setattr(runner, "_train", train)
    run_comparison(make_spec(tune="lr=0.01,0.02"), tmp_path / "one", OPTIONS)
    rates = read_plan(tmp_path / "one").learning_rates
    assert rates is not None
    assert rates["rnn"] == {"": 0.01}
    assert list(scored(tmp_path / "one")) == ["gru-seed1"]
    assert failures(tmp_path / "one")["rnn-seed1"].kind == "diverged"
    diverging.append("gru")
    with pytest.raises(SpeechgruError, match="--out"):
        run_comparison(make_spec(tune="lr=0.01,0.02"), tmp_path / "all", OPTIONS)


def test_a_run_that_diverges_is_a_result_and_the_rest_completes(
    small: Recipe, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    spec = parse(
        override(small, ["training.max_bad_steps=2"]),
        vary="training.learning_rate=0.02,1.0e+30",
        test=str(tones / "test.jsonl"),
    )
    good, bad = (f"{name}-seed1" for name in spec.names)
    run_comparison(spec, tmp_path, OPTIONS)
    assert list(scored(tmp_path)) == [good]
    assert {name: failure.kind for name, failure in failures(tmp_path).items()} == {bad: "diverged"}
    monkeypatch.setattr(runner, "perform", None)  # a divergence is final
    run_comparison(spec, tmp_path, OPTIONS)


def test_an_error_that_may_be_temporary_is_tried_again(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual = runner._score

    def failing(task: Task, manifest: str) -> runner.Scores:
        if task.run.variant == "rnn":
            raise AudioError("a.wav: cannot be read")
        return usual(task, manifest)

    monkeypatch.setattr(runner, "_score", failing)
    run_comparison(make_spec(), tmp_path, OPTIONS)
    assert failures(tmp_path) == {"rnn-seed1": Failure("error", "a.wav: cannot be read")}
    assert list(scored(tmp_path)) == ["gru-seed1"]
    monkeypatch.setattr(runner, "_score", usual)
    run_comparison(make_spec(), tmp_path, OPTIONS)
    assert failures(tmp_path) == {}
    assert list(scored(tmp_path)) == ["gru-seed1", "rnn-seed1"]


@pytest.mark.parametrize(
    "content", [None, "", '{"epoch": 1, "st', "[]\n", '{"epoch": 1}\n', "\xff"]
)
def test_damaged_metrics_fail_their_own_run_only(
    make_spec: MakeSpec, finished: Path, tmp_path: Path, content: str | None
):
    folder = shutil.copytree(finished, tmp_path / "out")
    metrics = folder / "runs/gru-seed1/metrics.jsonl"
    whole = metrics.read_bytes()
    metrics.unlink()
    if content is not None:
        metrics.write_text(content, encoding="latin-1")
    for name in ("gru-seed1", "gru-seed2"):
        (folder / "results" / f"{name}.json").unlink()
    run_comparison(make_spec(seeds=2), folder, OPTIONS)
    ((name, failure),) = failures(folder).items()
    assert (name, failure.kind) == ("gru-seed1", "error")
    assert str(metrics) in failure.reason
    assert read_analysis(folder).failures == {name: failure.reason}
    metrics.write_bytes(whole)
    run_comparison(make_spec(seeds=2), folder, OPTIONS)
    assert read_results(folder) == read_results(finished)


def test_learning_rates_are_not_chosen_without_all_trials(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual = runner._train

    def failing(task: Task, on_step: runner.OnStep) -> TrainedModel:
        if task.run.name == "gru-lr0.02-seed1":
            raise OSError("disk full")
        return usual(task, on_step)

    monkeypatch.setattr(runner, "_train", failing)
    with pytest.raises(SpeechgruError, match=r"gru-lr0\.02-seed1"):
        run_comparison(make_spec(tune="lr=0.001,0.02"), tmp_path, OPTIONS)
    assert read_plan(tmp_path).learning_rates is None
    assert scored(tmp_path) == {}


def test_a_result_of_another_recipe_is_refused(make_spec: MakeSpec, finished: Path, tmp_path: Path):
    (tmp_path / "results").mkdir()
    values = json.loads((finished / "results/gru-seed1.json").read_text())
    (tmp_path / "results/gru-seed1.json").write_text(json.dumps(values | {"recipe": "other"}))
    with pytest.raises(SpeechgruError, match=r"gru-seed1\.json"):
        run_comparison(make_spec(), tmp_path, OPTIONS)


def test_another_comparison_in_the_folder_is_refused(make_spec: MakeSpec, finished: Path):
    with pytest.raises(SpeechgruError, match="seeds: 2 → 3"):
        run_comparison(make_spec(seeds=3), finished, OPTIONS)


@pytest.fixture
def planned(make_spec: MakeSpec, tmp_path: Path) -> Path:
    """A folder with a plan of `make_spec()`."""
    make_plan(make_spec(), tmp_path / "out", CPU)
    return tmp_path / "out"


RESOURCES = ["training.workers=2", "training.cache_mb=100"]


def moved(small: Recipe, folder: Path, **options: str) -> ComparisonSpec:
    """The spec of `planned` with the data in this folder, and other resources."""
    train, dev, test = (str(folder / f"{name}.jsonl") for name in ("train", "dev", "test"))
    recipe = override(small, [f"data.train=[{train}]", f"data.dev={dev}", *RESOURCES])
    return parse(recipe, **{"cells": "rnn,gru", "test": test} | options)


def test_a_comparison_continues_with_moved_data_and_other_resources(
    planned: Path, small: Recipe, tones: Path, tmp_path: Path
):
    spec = moved(small, shutil.copytree(tones, tmp_path / "moved"))
    old, plan = read_plan(planned), make_plan(spec, planned, CPU)
    assert plan == replace(old, spec=spec)
    for run in plan.runs():
        recipe = plan.recipe(run, planned)
        assert recipe.data.dev == str(tmp_path / "moved" / "dev.jsonl")
        assert (recipe.training.workers, recipe.training.cache_mb) == (2, 100)
        assert runner.fingerprint(recipe) == runner.fingerprint(old.recipe(run, planned))


def test_moved_noise_is_the_same_noise_and_changed_ids_are_other_data(
    small: Recipe, tones: Path, tmp_path: Path
):
    def spec(folder: Path) -> ComparisonSpec:
        values = (f"augment.noise_manifest={folder}/dev.jsonl", f"data.dev={folder}/dev.jsonl")
        return parse(override(small, values), cells="rnn,gru")

    plan = make_plan(spec(tones), tmp_path / "out", CPU)
    copy = shutil.copytree(tones, tmp_path / "moved")
    assert make_plan(spec(copy), tmp_path / "out", CPU) == replace(plan, spec=spec(copy))
    file = copy / "dev.jsonl"
    file.write_text(file.read_text().replace("dev/000", "dev/900").replace("900.wav", "000.wav"))
    with pytest.raises(SpeechgruError, match="ids"):
        make_plan(spec(copy), tmp_path / "out", CPU)


def test_noise_with_other_ids_is_the_same_noise(small: Recipe, tones: Path, tmp_path: Path):
    utterances = read_manifest(tones / "dev.jsonl")
    renamed = [structs.replace(u, id=u.audio) for u in utterances]  # as without ids
    write_manifest(tmp_path / "noise.jsonl", renamed)

    def spec(noise: Path) -> ComparisonSpec:
        return parse(override(small, (f"augment.noise_manifest={noise}",)), cells="rnn,gru")

    make_plan(spec(tones / "dev.jsonl"), tmp_path / "out", CPU)
    make_plan(spec(tmp_path / "noise.jsonl"), tmp_path / "out", CPU)


@pytest.mark.parametrize("options", [{}, {"folds": "speaker"}])
@pytest.mark.parametrize("name", ["dev", "test"])
def test_a_set_that_cannot_be_read_is_refused_before_anything_is_trained(
    small: Recipe, tones: Path, tmp_path: Path, name: str, options: dict[str, str]
):
    copy = shutil.copytree(tones, tmp_path / "copy")
    (copy / name / "003.wav").unlink()
    with pytest.raises(SpeechgruError, match=rf"{name}\.jsonl: 1 of \d+ .*003\.wav"):
        run_comparison(moved(small, copy, **options), tmp_path, OPTIONS)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["dev", "test"])
def test_a_set_without_words_is_refused(small: Recipe, tones: Path, tmp_path: Path, name: str):
    copy = shutil.copytree(tones, tmp_path / "copy")
    silent = [structs.replace(u, text="…") for u in read_manifest(copy / f"{name}.jsonl")]
    write_manifest(copy / f"{name}.jsonl", silent)
    with pytest.raises(SpeechgruError, match=rf"{name}\.jsonl: none of the \d+ texts has a word"):
        make_plan(moved(small, copy), tmp_path, CPU)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("data.max_seconds=1", "data.max_seconds"),
        ("training.max_bad_steps=1", "training.max_bad_steps"),  # which runs diverge
        ("augment.noise_manifest=noise.jsonl", "augment.noise_manifest"),
        ("data.train=[{0}/train.jsonl,{0}/dev.jsonl]", "data.train"),
    ],
)
def test_settings_that_affect_results_are_refused(
    make_spec: MakeSpec, planned: Path, tones: Path, change: str, named: str
):
    spec = make_spec()
    changed = replace(spec, recipe=override(spec.recipe, [change.format(tones)]))
    with pytest.raises(SpeechgruError, match=named):
        make_plan(changed, planned, CPU)


def test_the_same_manifests_with_other_uses_are_refused(small: Recipe, tones: Path, tmp_path: Path):
    train, dev, test = (str(tones / f"{name}.jsonl") for name in ("train", "dev", "test"))

    def spec(*train: str, dev: str, test: str | None) -> ComparisonSpec:
        recipe = override(small, [f"data.train=[{','.join(train)}]", f"data.dev={dev}"])
        return parse(recipe, cells="rnn,gru", test=test)

    make_plan(spec(train, dev=dev, test=test), tmp_path, CPU)
    for other in (spec(train, dev, dev=test, test=None), spec(train, dev, dev=dev, test=test)):
        with pytest.raises(SpeechgruError, match=r"data\.train"):
            make_plan(other, tmp_path, CPU)


def test_a_plan_without_a_fingerprint_of_the_data_keeps_its_paths(
    make_spec: MakeSpec, planned: Path, small: Recipe, tones: Path, tmp_path: Path
):
    plan = replace(read_plan(planned), data="")
    plan.save(planned)
    spec = make_spec()
    spec = replace(spec, recipe=override(spec.recipe, RESOURCES))
    assert make_plan(spec, planned, CPU) == replace(plan, spec=spec)
    with pytest.raises(SpeechgruError, match=r"data\.train"):
        make_plan(moved(small, shutil.copytree(tones, tmp_path / "moved")), planned, CPU)


def test_utterances_that_changed_since_the_plan_are_refused(
    small: Recipe, tones: Path, tmp_path: Path
):
    manifest = tmp_path / "dev.jsonl"
    lines = [json.loads(line) for line in (tones / "dev.jsonl").read_text().splitlines()]

    def write(count: int) -> None:
        absolute = [r | {"audio_filepath": str(tones / r["audio_filepath"])} for r in lines[:count]]
        manifest.write_text("".join(json.dumps(row) + "\n" for row in absolute))

    spec = parse(override(small, [f"data.dev={manifest}"]), cells="rnn,gru")
    write(8)
    plan = make_plan(spec, tmp_path / "out", CPU)
    assert make_plan(spec, tmp_path / "out", CPU) == plan
    write(7)
    with pytest.raises(SpeechgruError, match=str(tmp_path / "out")):
        make_plan(spec, tmp_path / "out", CPU)


def test_two_comparisons_at_once_in_one_folder_are_refused(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("speechgru.files.LOCK_TIMEOUT", 0)
    with (
        exclusive_lock(tmp_path, "another"),
        pytest.raises(SpeechgruError, match="speechgru compare"),
    ):
        run_comparison(make_spec(), tmp_path, OPTIONS)


def test_each_speaker_is_tested_by_models_that_were_trained_on_others(
    make_spec: MakeSpec, tones: Path, tmp_path: Path
):
    run_comparison(make_spec(folds="speaker"), tmp_path, OPTIONS)
    everyone = [u for s in ("train", "dev", "test") for u in read_manifest(tones / f"{s}.jsonl")]
    assert read_plan(tmp_path).folds == ("s0", "s1", "s2", "s3")
    results = read_results(tmp_path)
    for variant in ("rnn", "gru"):
        tested = 0
        for fold in read_plan(tmp_path).folds:
            scores = results[f"{variant}-seed1-{fold}"].scores
            assert scores is not None
            assert set(scores.speakers) == {fold}
            tested += len(scores.ids)
        assert tested == len(everyone)


# Where trainings run -----------------------------------------------------------------------------


def task(name: str, threads: int = 1) -> Task:
    return Task(PlannedRun(name, 1, ""), Recipe(), Path("folder"), None, "cpu", threads)


def result_of(task: Task) -> RunResult:
    return RunResult(task.run.name, task.run.variant, 1, "", "0", 0.1)


def test_a_task_survives_being_sent_to_another_process():
    sent = replace(task("a"), test="test.jsonl", recipe=Recipe())
    adapter = TypeAdapter(Task)
    assert adapter.validate_json(adapter.dump_json(sent)) == sent


def test_a_training_here_has_its_threads_and_they_are_restored(monkeypatch: pytest.MonkeyPatch):
    before, seen = torch.get_num_threads(), []

    def perform(task: Task, on_step: object) -> RunResult:
        seen.append(torch.get_num_threads())
        if task.run.variant == "stopped":
            raise KeyboardInterrupt
        return result_of(task)

    monkeypatch.setattr(runner, "perform", perform)
    for _ in runner.run_here([task("a", before + 1), task("b", before + 2)]):
        assert torch.get_num_threads() == before
    with pytest.raises(KeyboardInterrupt):
        list(runner.run_here([task("stopped", before + 3)]))
    assert seen == [before + 1, before + 2, before + 3]
    assert torch.get_num_threads() == before


def test_a_worker_that_is_killed_is_an_error_and_its_run_tried_again(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual = workers._start

    def deadly(program: str, work: Work) -> "subprocess.Popen[bytes]":
        if "gru-seed1" in str(work.log):
            return usual(program, work)
        return subprocess.Popen(["sh", "-c", "kill -9 $$"], stdin=subprocess.PIPE)

    monkeypatch.setattr(workers, "_start", deadly)
    run_comparison(make_spec(), tmp_path, RunOptions("cpu", jobs=2, cost=False))
    (failure,) = failures(tmp_path).values()
    assert failure.kind == "error"
    assert "-9" in failure.reason
    assert str(tmp_path / "runs/rnn-seed1/worker.log") in failure.reason
    assert list(scored(tmp_path)) == ["gru-seed1"]
    monkeypatch.setattr(workers, "_start", usual)
    run_comparison(make_spec(), tmp_path, OPTIONS)
    assert failures(tmp_path) == {}


def repeatable(result: RunResult) -> RunResult:
    """Without what a clock said."""
    return replace(result, curve=tuple(replace(row, seconds=0.0) for row in result.curve))


def test_workers_and_this_process_come_to_the_same(
    make_spec: MakeSpec, finished: Path, tmp_path: Path
):
    run_comparison(make_spec(seeds=2), tmp_path, RunOptions("cpu", jobs=2, cost=False))
    ours, theirs = read_results(tmp_path), read_results(finished)
    assert list(ours) == list(theirs)
    for name, result in ours.items():
        assert repeatable(result) == repeatable(theirs[name])
