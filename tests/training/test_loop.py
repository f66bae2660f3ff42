"""Training from start to end: it learns, gives the same result every time, and selects a model."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from msgspec.structs import replace
from tones import RATE, tone_recipe
from trainings import (
    Stopper,
    check_same_run,
    damaged,
    long_recipe,
    make_trainer,
    metrics,
    quick,
    same_weights,
    tensors_of,
    train_from,
)

from speechgru.batches import AudioCache
from speechgru.checkpoint import ModelConfig, average_weights, load_model, new_checkpoint
from speechgru.errors import RecipeError, TrainingError
from speechgru.evaluation import evaluate, evaluate_utterances
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, read_manifest
from speechgru.manifest_writer import write_manifest
from speechgru.measure import torch_threads
from speechgru.model_file import read_model_file
from speechgru.recipe import Recipe
from speechgru.recognizer import Recognizer
from speechgru.scoring import score
from speechgru.text import Vocabulary
from speechgru.training.data import BatchLoader
from speechgru.training.loop import (
    Trainer,
    TrainingProgress,
    TrainingResult,
    default_threads,
    train,
)
from speechgru.training.selection import ModelSelection
from speechgru.training.state import STATE_FORMAT, WEIGHTS_FORMAT
from speechgru.training.step import StepResult

# It learns --------------------------------------------------------------------------------------


def test_a_tiny_model_learns_to_read_tones(tone_run, tones):
    evaluation = evaluate(Recognizer.load(tone_run, "cpu"), tones / "test.jsonl")
    assert evaluation.score.wer <= 0.1  # measured: 0
    rows = metrics(tone_run)
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["loss"] < rows[0]["loss"] / 10
    assert all(row["skipped_steps"] == 0 for row in rows)


def test_dev_is_evaluated_as_users_will_and_without_augmentation(tones, tmp_path):
    recipe = tone_recipe(
        tones,
        augment={"speed": [0.5], "frequency_masks": 8, "time_masks": 9},
        training={"epochs": 3},
    )
    result = train(recipe, tmp_path / "run", "cpu")
    scored = evaluate(Recognizer.load(tmp_path / "run", "cpu"), tones / "dev.jsonl").score
    assert result.dev_wer == scored.wer
    assert result.dev_cer == scored.cer


def test_loud_audio_is_evaluated_as_users_will(tones, tone_run, tmp_path):
    """Floats on the scale of 16-bit integers: clipped, their noise would equal the tones."""
    dev = []
    for utterance in read_manifest(tones / "dev.jsonl"):
        wave, rate = soundfile.read(utterance.audio, dtype="float32")
        file = tmp_path / Path(utterance.audio).name
        soundfile.write(file, 32768 * wave, rate, subtype="FLOAT")
        dev.append(replace(utterance, audio=file))
    recognizer = Recognizer.load(tone_run, "cpu")
    read = evaluate_utterances(recognizer, dev).score
    cached = evaluate_utterances(recognizer, dev, AudioCache(RATE, 10**7)).score
    assert read.wer < 0.5
    assert cached.utterances == read.utterances


def test_an_unknown_cell_is_refused_before_the_data_are_read(few, tmp_path):
    recipe = quick(few, model={"cell": "grru"}, data={"train": ["missing.jsonl"]})
    with pytest.raises(RecipeError, match="'grru'"):
        train(recipe, tmp_path / "run", "cpu")


# The same weights -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_run(few, tmp_path, whole):
    torch.manual_seed(99)
    np.random.seed(99)
    torch.randn(10)
    check_same_run(train_from(tmp_path / "again", long_recipe(few)), whole)


@pytest.mark.parametrize("changes", [{"workers": 0}, {"workers": 3}, {"cache_mb": 0}])
def test_workers_and_cache_change_nothing(few, tmp_path, whole, changes):
    folder = train_from(tmp_path / "run", long_recipe(few, **changes))
    assert same_weights(folder, whole, "last.safetensors")
    assert metrics(folder) == metrics(whole)


@pytest.mark.parametrize(
    ("hidden_size", "consistency", "cpus", "before", "threads"),
    [
        (8, 0, 2, 2, 1), (8, 0, 16, 16, 15), (8, 0, 16, 4, 4), (8, 0, 1, 1, 1),
        (600, 0, 2, 2, 2), (128, 0, 2, 2, 1), (128, 1, 2, 2, 2),
    ],
)  # fmt: skip
def test_steps_of_a_small_model_leave_a_cpu_to_loading(
    few, monkeypatch, hidden_size, consistency, cpus, before, threads
):
    monkeypatch.setattr("speechgru.training.loop.usable_cpus", lambda: cpus)
    recipe = quick(few, model={"hidden_size": hidden_size}, training={"consistency": consistency})
    config = ModelConfig(text=recipe.text, features=recipe.features, model=recipe.model)
    model = new_checkpoint(config, Vocabulary.from_texts(["ab"]), {}).model
    with torch_threads(before):
        assert default_threads(model, recipe) == threads


def test_a_stated_number_of_threads_is_used_and_the_former_restored(few, tmp_path):
    used: set[int] = set()
    before = torch.get_num_threads()
    train(
        quick(few), tmp_path / "run", threads=3,
        on_progress=lambda _: used.add(torch.get_num_threads()),
    )  # fmt: skip
    assert used == {3}
    assert torch.get_num_threads() == before


def test_another_seed_gives_another_run(few, tmp_path, whole):
    folder = train_from(tmp_path / "run", long_recipe(few, seed=2))
    assert not same_weights(folder, whole, "last.safetensors")


def test_cells_see_the_same_batches_and_augmentation(few, tmp_path):
    one, other = (
        make_trainer(quick(few, model={"cell": cell}), tmp_path / cell).loader
        for cell in ("gru", "lstm")
    )
    for epoch in range(2):
        plan = one.plan(epoch)
        assert plan == other.plan(epoch)
        batch, same = (loader.load(plan[0], epoch) for loader in (one, other))
        assert torch.equal(batch.features, same.features)


# Model selection --------------------------------------------------------------------------------


def scores(*rates: float) -> Callable[[ModelSelection], object]:
    """A stand-in for ModelSelection.evaluate: these WERs in turn, in hundredths."""
    remaining = iter(rates)

    def fake(_: ModelSelection):
        errors = round(100 * next(remaining))
        return score(["a " * 100], ["a " * (100 - errors) if errors <= 100 else "b " * errors])

    return fake


def run_with(monkeypatch, recipe: Recipe, folder: Path, *rates: float) -> TrainingResult:
    monkeypatch.setattr(ModelSelection, "evaluate", scores(*rates))
    return train(recipe, folder, "cpu")


def test_the_best_epoch_is_kept_and_the_later_of_two_alike(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 5})
    result = run_with(monkeypatch, recipe, tmp_path / "a", 0.5, 0.2, 0.4, 0.2, 0.3)
    metadata = load_model(tmp_path / "a").metadata
    assert metadata["weights"] == "epoch 4"
    assert result.dev_wer == metadata["dev_wer"] == pytest.approx(0.2)
    assert not same_weights_as_last(tmp_path / "a")


def same_weights_as_last(folder: Path) -> bool:
    best = load_model(folder).model.state_dict()
    last = tensors_of(folder / "last.safetensors", STATE_FORMAT)
    return all(torch.equal(tensor, last[f"model.{name}"]) for name, tensor in best.items())


def test_the_last_epoch_s_weights_are_saved_when_it_is_the_best(few, tmp_path, monkeypatch):
    run_with(monkeypatch, quick(few), tmp_path / "a", 0.5, 0.2)
    assert same_weights_as_last(tmp_path / "a")


@pytest.mark.parametrize(
    ("patience", "rates", "epochs"),
    [
        (1, [0.5, 0.5], 2),
        (2, [1.0, 1.0, 1.0, 1.0, 0.9, 0.9, 0.9], 7),  # blank at first
        (1, [1.1, 1.0, 1.2, 1.1, 0.9, 0.9], 6),  # random characters
        (2, [1.0, 1.0, 0.5, 1.0, 1.0], 5),  # blank again
        (2, [0.5, 0.6, 0.4, 0.4, 0.4], 5),
        (2, [0.5, 0.4, 0.3, 0.2, 0.1, 0.05], 8),
        (0, [0.5], 8),
    ],
)
def test_patience_counts_evaluations_without_improvement(
    few, tmp_path, monkeypatch, caplog, patience, rates, epochs
):
    monkeypatch.setattr(Trainer, "_loss", lambda _: 1.0)
    caplog.set_level(logging.INFO)
    recipe = quick(few, training={"epochs": 8, "patience": patience})
    rates = [*rates, *[rates[-1]] * (8 - len(rates))]
    assert run_with(monkeypatch, recipe, tmp_path / "run", *rates).epochs == epochs
    named = [line for line in caplog.messages if "training.patience" in line]
    assert len(named) == (epochs < 8)
    assert all(f"epoch {epochs} of 8" in line for line in named)


@pytest.mark.parametrize(
    ("pairs", "losses", "without", "saved"),
    [
        # equal WER: the lower CER, then the lower loss of training
        ([("ok ab", "ok ax"), ("ok ab", "ok xx")], [2, 1], 1, 1),
        ([("ok ab", "ok xx"), ("ok ab", "ok ax")], [1, 2], 0, 2),
        ([("ok ab", "ok ax"), ("ok ab", "ok xb")], [2, 1], 0, 2),
        ([("ok ab", "ok ax"), ("ok ab", "ok xb")], [1, 2], 1, 1),
        ([("ok ab", "ok ax"), ("ok ab", "ok xb")], [1, 1], 1, 2),
        ([("ok ab", "ok ax"), ("ok ab", "ok xb")], [1, math.nan], 1, 1),
        ([("ok ab", "ok ax"), ("ok ab", "ok xb")], [math.nan, 1], 0, 2),
        # a lower loss is no improvement where no error is left, but a better model
        ([("ok ab", "ok ab"), ("ok ab", "ok ab")], [2, 1], 1, 2),
        # a word per utterance: learned by CER; then CER rises
        ([("abcd", "abxx"), ("abcd", "axxx"), ("abcd", "abxx")], [1, 1, 1], 0, 3),
        ([("abcd", "abcx"), ("abcd", "abxx"), ("abcd", "axxx")], [1, 1, 1], 2, 1),
        # a lower WER is better whatever the others
        ([("a bcd", "x bcd"), ("a bcd", "x xyz"), ("a bcd", "a bce")], [3, 2, 1], 0, 3),
    ],
)
def test_ties_are_broken_by_cer_and_loss(few, tmp_path, pairs, losses, without, saved):
    selection = make_trainer(quick(few), tmp_path / "run").selection
    for epoch, ((reference, hypothesis), loss) in enumerate(zip(pairs, losses, strict=True), 1):
        selection.state.epoch = epoch
        selection.keep_if_good(score([reference], [hypothesis]), loss)
    assert selection.state.evaluations_without_improvement == without
    metadata = read_model_file(tmp_path / "run" / "model.safetensors").metadata
    assert metadata["weights"] == f"epoch {saved}"


@pytest.mark.parametrize(("mean", "saved"), [("abxx", "epoch 1"), ("abcd", "mean of 2 epochs")])
def test_a_mean_of_equal_wer_is_saved_for_its_cer(few, tmp_path, monkeypatch, mean, saved):
    hypotheses = iter(["abcx", "axxx", "abxx", mean + "e"])  # of WER 100 %
    monkeypatch.setattr(ModelSelection, "evaluate", lambda _: score(["abcd"], [next(hypotheses)]))
    train(quick(few, training={"epochs": 3, "average": 2}), tmp_path / "run", "cpu")
    assert load_model(tmp_path / "run").metadata["weights"] == saved


def test_dev_is_evaluated_as_often_as_asked_and_at_the_end(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 5, "evaluate_every": 2})
    run_with(monkeypatch, recipe, tmp_path / "run", 0.5, 0.4, 0.3)
    evaluated = [row["epoch"] for row in metrics(tmp_path / "run") if "dev_wer" in row]
    assert evaluated == [2, 4, 5]


def test_a_mean_with_a_worse_dev_wer_is_not_taken(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 3, "average": 2})
    result = run_with(monkeypatch, recipe, tmp_path / "run", 0.5, 0.2, 0.4, 0.21)
    assert load_model(tmp_path / "run").metadata["weights"] == "epoch 2"
    assert result.dev_wer == pytest.approx(0.2)


def test_the_best_epochs_weights_are_averaged(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 4, "average": 2})
    result = run_with(monkeypatch, recipe, tmp_path / "run", 0.5, 0.2, 0.3, 0.4, 0.1)
    loaded = load_model(tmp_path / "run")
    assert loaded.metadata["weights"] == "mean of 2 epochs"
    assert result.dev_wer == pytest.approx(0.1)
    kept = sorted((tmp_path / "run" / "kept").iterdir())
    assert [file.name for file in kept] == ["epoch-0002.safetensors", "epoch-0003.safetensors"]
    mean = average_weights([tensors_of(file, WEIGHTS_FORMAT) for file in kept])
    for name, tensor in loaded.model.state_dict().items():
        torch.testing.assert_close(tensor, mean[name])


def test_of_equal_wers_the_lowest_cers_are_averaged(few, tmp_path, monkeypatch):
    wrong = iter((9, 2, 3, 5, 4))  # letters, of one word
    monkeypatch.setattr(
        ModelSelection,
        "evaluate",
        lambda _: score(["a" * 10], ["b" * (letters := next(wrong)) + "a" * (10 - letters)]),
    )
    train(quick(few, training={"epochs": 4, "average": 2}), tmp_path / "run", "cpu")
    kept = sorted(file.name for file in (tmp_path / "run" / "kept").iterdir())
    assert kept == ["epoch-0002.safetensors", "epoch-0003.safetensors"]


def test_progress_counts_to_the_end(few, tmp_path):
    seen: list[TrainingProgress] = []
    train(quick(few), tmp_path / "run", "cpu", on_progress=seen.append)
    assert [p.step for p in seen] == list(range(1, seen[-1].steps + 1))
    assert [p.epoch for p in seen] == sorted(p.epoch for p in seen)
    assert seen[-1].epoch == seen[-1].epochs == 2
    assert seen[-1].eta == 0
    assert all(p.speed > 0 and p.eta >= 0 and math.isfinite(p.loss) for p in seen)


class Clock:
    """A stand-in for the time module, which only `spending` moves forward."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def spending(self, work: Callable[..., object], seconds: float) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            self.now += seconds
            return work(*args)

        return wrapped


def test_times_are_of_statistics_steps_and_evaluations(few, tmp_path, monkeypatch):
    clock, seen = Clock(), list[TrainingProgress]()
    monkeypatch.setattr("speechgru.training.loop.time", clock)
    for owner, work, seconds in (
        (FeatureExtractor, "fit", 1000.0), (Trainer, "_step", 1.0),
        (ModelSelection, "evaluate", 100.0),
    ):  # fmt: skip
        monkeypatch.setattr(owner, work, clock.spending(getattr(owner, work), seconds))
    recipe = quick(few, features={"normalise": "global"}, training={"average": 2})
    stop = Stopper(9)

    def watch(progress: TrainingProgress) -> None:
        seen.append(progress)
        stop(progress)

    first = train(recipe, tmp_path / "run", "cpu", on_progress=watch)
    clock.now += 10_000  # between the sessions
    last = train(recipe, tmp_path / "run", "cpu", resume=True, on_progress=watch)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    one, both = rows[0]["step"], rows[1]["step"]
    assert first.interrupted
    assert 1 < one < 9 < both
    assert first.seconds == 1000 + 9 + 100
    assert last.seconds == 1000 + both + 3 * 100  # two epochs and the mean of them
    assert [row["seconds"] for row in rows] == [one, both]
    assert seen[one - 1].eta == both - one  # before the first evaluation
    assert seen[one].eta == pytest.approx((one + 1 + 100) / (one + 1) * (both - one - 1))


def test_an_epoch_of_skipped_steps_has_no_loss(few, tmp_path, monkeypatch):
    def skip(*_: object) -> StepResult:
        return StepResult(math.nan, 1, math.nan, applied=False, suspects=("a",))

    monkeypatch.setattr("speechgru.training.loop.train_step", skip)
    seen: list[TrainingProgress] = []
    train(quick(few), tmp_path / "run", "cpu", on_progress=seen.append)
    assert all(math.isnan(progress.loss) for progress in seen)
    assert all("loss" not in row for row in metrics(tmp_path / "run"))


def test_progress_reports_the_best_score_so_far(few, tmp_path, monkeypatch):
    seen: list[TrainingProgress] = []
    monkeypatch.setattr(ModelSelection, "evaluate", scores(0.5, 0.2, 0.4, 0.3))
    train(quick(few, training={"epochs": 4}), tmp_path / "run", "cpu", on_progress=seen.append)
    assert {p.epoch: p.best_dev_wer for p in seen} == {1: None, 2: 0.5, 3: 0.2, 4: 0.2}


def test_global_statistics_are_those_of_training_and_saved(few, tmp_path):
    recipe = quick(few, features={"normalise": "global"})
    train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(2))
    state = tensors_of(tmp_path / "run" / "last.safetensors", STATE_FORMAT)
    train(recipe, tmp_path / "run", "cpu", resume=True)
    extract = FeatureExtractor(recipe.features)
    extract.fit(
        soundfile.read(u.audio, dtype="float32")[0] for u in read_manifest(few / "train.jsonl")
    )
    loaded = load_model(tmp_path / "run").extract
    for found in (loaded.mean, state["features.mean"]):
        torch.testing.assert_close(found, extract.mean, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(loaded.std, extract.std, atol=1e-3, rtol=1e-3)
    assert torch.equal(loaded.mean, state["features.mean"])


# What cannot be trained on ----------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["utterance", "global"])
@pytest.mark.parametrize("batch_seconds", [0.1, 1.5])  # alone in its batch, and with others
def test_damage_found_while_training_is_named_and_the_rest_continues(
    few, tmp_path, caplog, normalise, batch_seconds
):
    utterances = read_manifest(few / "train.jsonl")
    utterances[3] = replace(utterances[3], audio=damaged(tmp_path), duration=0.9)
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(
        few,
        data={"train": [str(tmp_path / "train.jsonl")]},
        features={"normalise": normalise},
        training={"batch_seconds": batch_seconds},
    )
    with caplog.at_level(logging.WARNING, "speechgru"):
        assert train(recipe, tmp_path / "run", "cpu").epochs == 2
    assert caplog.text.count("nan.wav") == 1
    assert [row["skipped_utterances"] for row in metrics(tmp_path / "run")] == [1, 2]
    assert all(row["skipped_steps"] == 0 for row in metrics(tmp_path / "run"))


def test_an_epoch_whose_augmentation_leaves_every_utterance_too_short(few, tmp_path, monkeypatch):
    load = BatchLoader.load

    def too_short_at_first(self, indices, epoch):
        for index in indices if epoch == 0 else ():
            self._skip(self.utterances[index], "too short")
        return None if epoch == 0 else load(self, indices, epoch)

    monkeypatch.setattr(BatchLoader, "load", too_short_at_first)
    assert train(quick(few), tmp_path / "run", "cpu").epochs == 2
    assert [row["skipped_utterances"] for row in metrics(tmp_path / "run")] == [12, 12]


@pytest.mark.parametrize("normalise", ["utterance", "global"])
def test_where_no_audio_can_be_decoded_nothing_is_trained(few, tmp_path, normalise):
    file = damaged(tmp_path)
    listed = [Utterance(file, 0.8, "am", f"{n}", offset=n / 100) for n in range(7)]
    write_manifest(tmp_path / "train.jsonl", listed)
    recipe = quick(
        few,
        data={"train": [str(tmp_path / "train.jsonl")]},
        features={"normalise": normalise},
    )
    with pytest.raises(TrainingError) as caught:
        train(recipe, tmp_path / "run", "cpu")
    assert f"{tmp_path}/train.jsonl" in str(caught.value)
    assert "7" in str(caught.value)


def test_the_number_of_steps_is_logged_and_a_model_of_blanks_explained(few, tmp_path, caplog):
    caplog.set_level("INFO", logger="speechgru")
    train(quick(few), tmp_path / "run", "cpu")
    steps = metrics(tmp_path / "run")[-1]["step"]
    assert f"{steps // 2} steps per epoch, {steps} in all" in caplog.text
    warning = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"][-1]
    assert "only blanks" in warning
    assert "training.epochs" in warning
