"""Training: what a step does, what a run leaves on disk, and that stopping changes nothing."""

import json
import logging
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import RATE, say, tone_recipe, write_split
from torch import Tensor

from speechgru.audio import audio_info
from speechgru.batches import AudioCache, Batch, collate
from speechgru.checkpoint import average_weights, load_model, read_tensors
from speechgru.errors import CheckpointError, ManifestError, TrainingError
from speechgru.evaluation import evaluate, evaluate_utterances
from speechgru.features import FeatureExtractor
from speechgru.manifest import Utterance, read_manifest, write_manifest
from speechgru.recipe import Recipe, TrainingRecipe
from speechgru.recognizer import Recognizer
from speechgru.scoring import score
from speechgru.text import Vocabulary
from speechgru.training import Progress, Result, read_training_data, train
from speechgru.training.data import frames_needed
from speechgru.training.loop import (
    Trainer,
    ctc_losses,
    learning_rate,
    make_optimiser,
    stop_request,
)
from speechgru.training.run import STATE_FORMAT, WEIGHTS_FORMAT, Position, Run

CPU = torch.device("cpu")
AUGMENT = {"speed": [0.9, 1.0, 1.1], "frequency_warp": 0.1, "frequency_masks": 1, "time_masks": 1}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve utterances to train on, four for dev: for what need not learn."""
    folder = tmp_path_factory.mktemp("few")
    write_split(folder, "train", 12, 1)
    write_split(folder, "dev", 4, 2)
    return folder


def quick(folder: Path, **sections: dict[str, object]) -> Recipe:
    """A model too small to read, two epochs of about four batches, with everything random on."""
    values: dict[str, dict[str, object]] = {
        "model": {"width": 6, "layers": 2, "dropout": 0.2, "conv_channels": 2},
        "augment": dict(AUGMENT),
        "training": {"epochs": 2, "batch_seconds": 1.5, "learning_rate": 0.01},
    }
    for section, changes in sections.items():
        values.setdefault(section, {}).update(changes)
    return tone_recipe(folder, **values)


def make_trainer(recipe: Recipe, folder: Path) -> Trainer:
    return Trainer(recipe, read_training_data(recipe), Run(folder), CPU, Position(), lambda _: None)


def tensors_of(file: Path, kind: str) -> dict[str, Tensor]:
    return read_tensors(file, kind)[0]


def same_weights(one: Path, other: Path, name: str = "model.safetensors") -> bool:
    kind = STATE_FORMAT if name == "last.safetensors" else "speechgru-1"
    first, second = tensors_of(one / name, kind), tensors_of(other / name, kind)
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


def metrics(folder: Path) -> list[dict[str, object]]:
    """The lines of metrics.jsonl, without the seconds a run happened to take."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def untimed(position: Position) -> Position:
    return replace(position, seconds=0, scoring_seconds=0, elapsed=0)


def check_same_run(one: Path, other: Path) -> None:
    assert same_weights(one, other)
    assert same_weights(one, other, "last.safetensors")
    assert metrics(one) == metrics(other)
    assert load_model(one).about == load_model(other).about
    position, _ = Run(one).load_state()
    again, _ = Run(other).load_state()
    assert untimed(position) == untimed(again)
    assert sorted(p.name for p in (one / "kept").glob("*.safetensors")) == sorted(
        p.name for p in (other / "kept").glob("*.safetensors")
    )


# It learns --------------------------------------------------------------------------------------


def test_a_tiny_model_learns_to_read_tones(tone_run, tones):
    evaluation = evaluate(Recognizer.load(tone_run), tones / "test.jsonl")
    assert evaluation.score.wer <= 0.1  # measured: 0
    rows = metrics(tone_run)
    assert [row["epoch"] for row in rows] == list(range(1, 13))
    assert rows[-1]["loss"] < rows[0]["loss"] / 10
    assert all(row["skipped_steps"] == 0 for row in rows)


def test_dev_is_scored_as_users_will_and_without_augmentation(tones, tmp_path):
    recipe = tone_recipe(
        tones,
        augment={"speed": [0.5], "frequency_masks": 8, "time_masks": 9},
        training={"epochs": 3},
    )
    result = train(recipe, tmp_path / "run", "cpu")
    scored = evaluate(Recognizer.load(tmp_path / "run"), tones / "dev.jsonl").score
    assert result.dev_wer == scored.wer
    assert result.dev_cer == scored.cer


def test_loud_sound_is_scored_as_users_will(tones, tone_run, tmp_path):
    """Floats on the scale of 16-bit integers; were they clipped, their noise would be as loud as
    their tones."""
    dev = []
    for utterance in read_manifest(tones / "dev.jsonl"):
        wave, rate = soundfile.read(utterance.audio, dtype="float32")
        file = tmp_path / utterance.audio.name
        soundfile.write(file, 32768 * wave, rate, subtype="FLOAT")
        dev.append(replace(utterance, audio=file))
    recognizer = Recognizer.load(tone_run)
    read = evaluate_utterances(recognizer, dev).score
    kept = evaluate_utterances(recognizer, dev, AudioCache(RATE, 10**7)).score
    assert read.wer < 0.5
    assert kept == read


def test_dev_is_not_confused_with_training_s_files_of_the_same_names(few, tmp_path):
    """Manifests of two folders, the same names in both."""
    for split in ("train", "dev"):
        shutil.copytree(few / split, tmp_path / split / "audio")
        listed = [
            replace(u, audio=tmp_path / split / "audio" / u.audio.name)
            for u in read_manifest(few / f"{split}.jsonl")
        ]
        write_manifest(tmp_path / split / "list.jsonl", listed)
    recipe = quick(
        few,
        data={
            "train": [str(tmp_path / "train/list.jsonl")],
            "dev": str(tmp_path / "dev/list.jsonl"),
        },
        augment={"speed": [1.0]},
    )
    trainer = make_trainer(recipe, tmp_path / "run")
    assert trainer.data.train[0].id == trainer.data.dev[0].id
    for utterance in trainer.data.train:
        trainer.cache.read(utterance)
    heard = soundfile.read(tmp_path / "dev/audio/000.wav", dtype="float32")[0]
    np.testing.assert_allclose(trainer.cache.read(trainer.data.dev[0]), heard, atol=1e-4)


# A step -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [1e9, 0.01])
def test_accumulating_two_batches_equals_one_batch_of_both(few, tmp_path, clip_norm):
    recipe = quick(
        few,
        model={"dropout": 0.0},
        augment={"speed": [1.0], "frequency_warp": 0, "frequency_masks": 0, "time_masks": 0},
        training={"schedule": "constant", "clip_norm": clip_norm},
    )
    apart, joined = (make_trainer(recipe, tmp_path / name) for name in ("apart", "joined"))
    for _ in range(3):
        apart._step([apart._load([0, 3, 5]), apart._load([2, 7])])
        joined._step([joined._load([2, 3, 0, 7, 5])])
        for one, other in zip(apart.model.parameters(), joined.model.parameters(), strict=True):
            assert one.grad is not None
            scale = float(other.grad.abs().max())
            torch.testing.assert_close(one.grad, other.grad, atol=1e-4 * scale, rtol=1e-3)
            # Adam divides by the gradient's own size: where that is rounding, so is the step.
            torch.testing.assert_close(one, other, atol=2e-3, rtol=0)
        assert apart.position.loss_sum == pytest.approx(joined.position.loss_sum, rel=1e-4)
        assert apart.position.token_count == joined.position.token_count


def test_the_loss_is_of_a_token_whatever_the_batch(few, tmp_path):
    recipe = quick(few, model={"dropout": 0.0}, training={"learning_rate": 1e-9})
    trainer = make_trainer(recipe, tmp_path)
    batch = trainer._load([0, 1, 2])
    with torch.no_grad():
        expected = (
            ctc_losses(trainer.model, batch, trainer.device).sum() / batch.target_lengths.sum()
        )
    trainer._step([batch])
    position = trainer.position
    assert position.loss_sum / position.token_count == pytest.approx(float(expected), rel=1e-5)


def test_weights_decay_and_biases_do_not(few, tmp_path):
    model = make_trainer(quick(few), tmp_path).model
    optimiser = make_optimiser(model, TrainingRecipe(weight_decay=0.5))
    decayed, rest = optimiser.param_groups
    assert decayed["weight_decay"] == 0.5
    assert rest["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
@pytest.mark.parametrize("total", [1, 2, 7, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.15, 0.9])
def test_learning_rates_rise_to_the_peak_and_fall_to_the_end(schedule, total, warmup):
    options = TrainingRecipe(schedule=schedule, warmup=warmup, learning_rate=0.01)
    rates = [learning_rate(options, step, total) for step in range(total)]
    assert all(0 < rate <= 0.01 * (1 + 1e-12) for rate in rates)
    if schedule == "constant":
        assert set(rates) == {0.01}
        return
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if total == 1000:
        assert max(rates) == pytest.approx(0.01, rel=1e-3)
        assert abs(top - warmup * total) <= 1
        assert rates[-1] < 1e-6 if warmup < 0.5 else rates[-1] < 1e-5


def test_one_cycle_is_torch_s_but_for_a_step(few, tmp_path):
    total, peak = 400, 0.01
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peak, total_steps=total, pct_start=0.15, cycle_momentum=False
    )
    options = TrainingRecipe(schedule="one-cycle", warmup=0.15, learning_rate=peak)
    for step in range(total):
        ours = learning_rate(options, step, total)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=0.03 * peak)
        optimiser.step()
        theirs.step()


# NaN and infinity -------------------------------------------------------------------------------


def spoilt(batch: Batch) -> Batch:
    features = batch.features.clone()
    features[0, 0, 0] = math.nan
    return replace(batch, features=features)


@pytest.mark.parametrize("cell", ["gru", "lstm", "ligru"])
def test_a_step_with_nan_changes_nothing_and_names_the_utterance(few, tmp_path, caplog, cell):
    trainer = make_trainer(quick(few, model={"cell": cell}), tmp_path)
    trainer.model.train()
    trainer._step([trainer._load([0, 1])])
    before = {name: t.clone() for name, t in trainer.model.state_dict().items()}
    loss, state = trainer.position.loss_sum, str(trainer.optimiser.state_dict()["state"])
    bad = spoilt(trainer._load([4, 5]))
    with caplog.at_level(logging.WARNING, "speechgru"):
        trainer._step([trainer._load([2, 3]), bad])
    for name, tensor in trainer.model.state_dict().items():
        # The good batch of the step may move LiGRU's running statistics, the bad one may not.
        assert tensor.isfinite().all()
        assert torch.equal(tensor, before[name]) or "running" in name
    assert (trainer.position.loss_sum, trainer.position.skipped_steps) == (loss, 1)
    assert str(trainer.optimiser.state_dict()["state"]) == state
    assert bad.ids[0] in caplog.text
    assert bad.ids[1] not in caplog.text
    trainer._step([trainer._load([0, 1])])
    assert trainer.position.bad_in_a_row == 0


def test_an_infinite_loss_is_skipped_and_the_run_goes_on(few, tmp_path, caplog):
    """A manifest that promises a little more sound than there is, and text that needs it."""
    frames = 40
    long = (frames * 2 * 80 + 256) / RATE
    wave = np.resize(say("am", 5), int(RATE * (long - 0.09)))
    soundfile.write(tmp_path / "short.wav", wave, RATE)
    text = ("am" * frames)[:frames]
    bad = Utterance(tmp_path / "short.wav", long, text, "short")
    write_manifest(tmp_path / "bad.jsonl", [bad])
    recipe = quick(
        few,
        data={"train": [str(few / "train.jsonl"), str(tmp_path / "bad.jsonl")]},
        augment={"speed": [1.0]},
    )
    with caplog.at_level(logging.WARNING, "speechgru"):
        result = train(recipe, tmp_path / "run", "cpu")
    assert result.epochs == 2
    assert metrics(tmp_path / "run")[-1]["skipped_steps"] == 2
    skipped = [r.getMessage() for r in caplog.records if "skipped" in r.getMessage()]
    assert len(skipped) == 2
    assert all("at short" in line for line in skipped)


def test_training_gives_up_with_advice_after_so_many_bad_steps(few, tmp_path):
    recipe = quick(
        few, training={"learning_rate": 1e30, "schedule": "constant", "max_bad_steps": 3}
    )
    with pytest.raises(TrainingError) as caught:
        train(recipe, tmp_path / "run", "cpu")
    assert "3 steps in a row gave NaN or infinity" in str(caught.value)
    assert "training.learning_rate" in str(caught.value)
    assert "\n" not in str(caught.value)


# Who takes part ---------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=7), st.integers(1, 16))
def test_frames_needed_is_where_the_loss_becomes_finite(tokens, frames):
    log_probs = torch.full((frames, 1, 4), -math.log(4))
    loss = torch.nn.functional.ctc_loss(
        log_probs, torch.tensor([tokens]), torch.tensor([frames]), torch.tensor([len(tokens)])
    )
    assert bool(loss.isfinite()) == (frames >= frames_needed(tokens))


@pytest.mark.parametrize("speed", [[1.0], [0.9, 1.1], [1.15]])
@pytest.mark.parametrize(("subsampling", "factor"), [("stack", 3), ("conv", 4)])
def test_who_is_kept_can_be_aligned_at_any_speed(tmp_path, speed, subsampling, factor):
    """Utterances of every length about the limit."""
    text, listed = "am mo", []
    for number, samples in enumerate(range(1000, 3000, 37)):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(samples), RATE)
        listed.append(Utterance(tmp_path / f"{number}.wav", samples / RATE, text, f"{number}"))
    write_manifest(tmp_path / "train.jsonl", listed)
    write_manifest(tmp_path / "dev.jsonl", listed[:1])
    recipe = quick(
        tmp_path,
        model={"subsampling": subsampling, "factor": factor, "width": 2, "layers": 1},
        augment={"speed": speed, "frequency_masks": 0, "time_masks": 0},
    )
    trainer = make_trainer(recipe, tmp_path / "run")
    kept = {utterance.id for utterance in trainer.data.train}
    assert 0 < len(kept) < len(listed)
    for epoch in range(3):
        trainer.position.epoch = epoch
        batch = trainer._load(list(range(len(kept))))
        assert ctc_losses(trainer.model, batch, trainer.device).isfinite().all()
    # Nor is anybody left out who would fit: the longest of those is not aligned at full speed.
    out = [u for u in listed if u.id not in kept]
    longest = max(out, key=lambda u: u.duration)
    samples = np.zeros(int(longest.duration * RATE), np.float32)
    extract = FeatureExtractor(recipe.features)
    fastest = extract.frames(round(len(samples) / max(speed)))
    assert math.ceil(fastest / factor) <= frames_needed(trainer.data.vocabulary.encode(text))


def listed_with(folder: Path, few: Path, **changes: object) -> Path:
    """few's training utterances, the first two of them changed."""
    utterances = read_manifest(few / "train.jsonl")
    utterances[:2] = [replace(utterance, **changes) for utterance in utterances[:2]]
    write_manifest(folder / "train.jsonl", utterances)
    return folder / "train.jsonl"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": ""}, "without text"),
        ({"text": " !?… "}, "without text"),
        ({"text": "am " * 200}, "too short for its text"),
        ({"duration": 31.0}, "longer than data.max_seconds (30 s)"),
    ],
)
def test_who_cannot_take_part_is_counted_and_named(few, tmp_path, caplog, changes, reason):
    manifest = listed_with(tmp_path, few, **changes)
    recipe = quick(few, data={"train": [str(manifest)]})
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(recipe)
    ((found, ids),) = data.left_out.items()
    assert found.startswith(reason)
    assert len(ids) == 2
    assert len(data.train) == len(data.tokens) == 10
    assert f"left out 2 {reason}" in caplog.text
    assert all(id_ in caplog.text for id_ in ids)


def spoil(utterance: Utterance, how: str, folder: Path) -> Utterance:
    """The utterance with sound that its file's header shows to be unusable."""
    if how == "beyond the end":
        return replace(utterance, offset=0.1, duration=utterance.duration + 0.1)
    file = folder / "bad.wav"
    if how == "no sound":
        file.write_text("no sound")
    return replace(utterance, audio=file)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing", "bad.wav: no such file"),
        ("no sound", "bad.wav: cut off, or no sound file"),
        ("beyond the end", "asked for, but it has"),
    ],
)
def test_sound_that_cannot_be_read_is_found_before_the_training(few, tmp_path, caplog, how, reason):
    for split in ("train", "dev"):
        utterances = read_manifest(few / f"{split}.jsonl")
        utterances[1] = spoil(utterances[1], how, tmp_path)
        write_manifest(tmp_path / f"{split}.jsonl", utterances)
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(quick(few, data={"train": [str(tmp_path / "train.jsonl")]}))
    assert len(data.train) == len(data.tokens) == 11
    assert "left out 1 whose sound cannot be read" in caplog.text
    assert reason in caplog.text
    for section, key, file in (("data", "dev", "dev"), ("augment", "noise_manifest", "train")):
        recipe = quick(few, **{section: {key: str(tmp_path / f"{file}.jsonl")}})
        with pytest.raises(TrainingError, match=r"1 of \d+ utterances cannot be read") as caught:
            train(recipe, tmp_path / "run", "cpu")
        assert reason in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_every_sound_is_told_with_its_own_fault(few, tmp_path):
    utterances = read_manifest(few / "train.jsonl")
    utterances[1] = spoil(utterances[1], "missing", tmp_path)
    utterances[2] = spoil(utterances[2], "beyond the end", tmp_path)
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    first, second = read_training_data(recipe).left_out["whose sound cannot be read"]
    assert first.startswith("bad (")
    assert "bad.wav: no such file" in first
    assert "002@0.1 (" in second
    assert "asked for, but it has" in second


def test_a_file_of_many_utterances_is_looked_at_once(few, tmp_path, monkeypatch):
    looked_at = []

    def counted(path):
        looked_at.append(path)
        return audio_info(path)

    monkeypatch.setattr("speechgru.audio.audio_info", counted)
    first = read_manifest(few / "train.jsonl")[0]
    parts = [replace(first, offset=n / 1000, duration=0.2, text="a") for n in range(100)]
    write_manifest(tmp_path / "train.jsonl", parts)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    assert len(read_training_data(recipe).train) == 100
    assert looked_at.count(first.audio) == 1


def test_all_that_are_left_out_are_named_in_the_run_s_folder(few, tmp_path):
    utterances = read_manifest(few / "train.jsonl")
    changed = [replace(u, text="") for u in utterances[:7]]
    changed.append(replace(utterances[7], text="äm " * 200))
    write_manifest(tmp_path / "train.jsonl", [*changed, *utterances[8:]])
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    train(recipe, tmp_path / "run", "cpu")
    named = json.loads((tmp_path / "run" / "left_out.json").read_text(encoding="utf-8"))
    assert named["without text"] == [f"{number:03}" for number in range(7)]
    (why,) = named.keys() - {"without text"}
    assert why.startswith("too short for its text")
    assert named[why] == ["007"]


@pytest.mark.parametrize(("shared", "words"), [(1, "1 of 4"), (4, "4 of 4"), (0, None)])
def test_dev_that_is_trained_on_is_told_once(few, tmp_path, caplog, shared, words):
    """By sound, whatever the ids: the manifests have no folder in common."""
    utterances = read_manifest(few / "train.jsonl")
    parts = [replace(u, offset=0.1, duration=u.duration - 0.1) for u in utterances[4:8]]
    dev = [*utterances[:shared], *parts[shared:]]
    write_manifest(tmp_path / "dev.jsonl", dev)
    with caplog.at_level(logging.WARNING, "speechgru"):
        read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))
    assert caplog.text.count("are trained on as well") == (words is not None)
    assert f"{words} dev utterances" in caplog.text or words is None


def test_nobody_left_is_an_error_that_says_why(few, tmp_path):
    utterances = [replace(u, text="") for u in read_manifest(few / "train.jsonl")]
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(few, data={"train": [str(tmp_path / "train.jsonl")]})
    with pytest.raises(TrainingError, match=r"none of 12 utterances .*12 without text"):
        read_training_data(recipe)


def test_characters_that_only_dev_has_are_reported_and_kept(few, tmp_path, caplog):
    dev = [replace(u, text="am zz") for u in read_manifest(few / "dev.jsonl")]
    write_manifest(tmp_path / "dev.jsonl", dev)
    with caplog.at_level(logging.WARNING, "speechgru"):
        data = read_training_data(quick(few, data={"dev": str(tmp_path / "dev.jsonl")}))
    assert "'z' ×8" in caplog.text
    assert data.dev[0].text == "am zz"


def test_texts_are_normalised_by_the_recipe_s_rule(few, tmp_path):
    manifest = listed_with(tmp_path, few, text="  Am, MO! ")
    data = read_training_data(quick(few, data={"train": [str(manifest)]}))
    assert data.train[0].text == "am mo"
    kept = read_training_data(
        quick(few, data={"train": [str(manifest)]}, text={"case": "keep", "punctuation": "keep"})
    )
    assert kept.train[0].text == "Am, MO!"


def test_the_vocabulary_holds_only_what_can_be_learnt(few, tmp_path):
    """The characters of who is left out are not among the outputs."""
    manifest = listed_with(tmp_path, few, text="xyz " * 300)
    data = read_training_data(quick(few, data={"train": [str(manifest)]}))
    assert data.vocabulary == Vocabulary.from_texts(["amo "])


def test_two_manifests_may_name_their_files_alike(few, tmp_path):
    shutil.copytree(few, tmp_path / "other")
    manifests = [str(few / "train.jsonl"), str(tmp_path / "other" / "train.jsonl")]
    data = read_training_data(quick(few, data={"train": manifests}))
    assert len({utterance.id for utterance in data.train}) == 24


# The same weights -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of three epochs, the mean of two of them tried."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(long_recipe(few), folder, "cpu")
    return folder


def long_recipe(few: Path, **changes: object) -> Recipe:
    return quick(few, training={"epochs": 3, "average": 2, "accumulate": 2, **changes})


def train_from(folder: Path, recipe: Recipe, **options: object) -> Path:
    train(recipe, folder, "cpu", **options)
    return folder


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


def test_another_seed_gives_another_run(few, tmp_path, whole):
    folder = train_from(tmp_path / "run", long_recipe(few, seed=2))
    assert not same_weights(folder, whole, "last.safetensors")


def test_cells_see_the_same_batches_and_augmentation(few, tmp_path):
    seen = []
    for cell in ("gru", "lstm"):
        trainer = make_trainer(quick(few, model={"cell": cell}), tmp_path / cell)
        seen.append((trainer.plans, trainer._load(trainer.plans[0][0])))
    (plans, batch), (other_plans, other) = seen
    assert plans == other_plans
    assert torch.equal(batch.features, other.features)


# Stopping and going on --------------------------------------------------------------------------


class Stopper:
    """Asks for a stop when `train` reports one of these steps."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def __call__(self, progress: Progress) -> None:
        if progress.step in self.steps:
            os.kill(os.getpid(), signal.SIGINT)


TOTAL = 12  # optimiser steps of long_recipe, four an epoch; the tests below check it


@pytest.mark.parametrize("steps", [(1,), (3,), (4,), (5, 7), (11,), tuple(range(1, TOTAL))])
def test_stopped_and_resumed_equals_uninterrupted(few, tmp_path, whole, steps):
    recipe = long_recipe(few)
    assert Run(whole).load_state()[0].step == TOTAL
    folder, results = tmp_path / "run", []
    for number in range(len(steps)):
        result = train(recipe, folder, "cpu", resume=number > 0, on_progress=Stopper(*steps))
        assert result.interrupted
        results.append(result)
        assert Run(folder).load_state()[0].step == steps[number]
    last = train(recipe, folder, "cpu", resume=True)
    assert not last.interrupted
    assert last.epochs == 3
    check_same_run(folder, whole)


def test_a_stop_in_the_last_epoch_s_scoring_still_finishes(few, tmp_path, whole):
    result = train(long_recipe(few), tmp_path / "run", "cpu", on_progress=Stopper(TOTAL))
    assert not result.interrupted
    check_same_run(tmp_path / "run", whole)


@pytest.fixture
def usual_interrupt():
    """Python's handler, which a shell takes away from what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_stops_at_once_and_the_usual_handler_comes_back(usual_interrupt):
    usual = signal.getsignal(signal.SIGINT)

    def twice(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    with stop_request() as stop, pytest.raises(KeyboardInterrupt):
        twice(stop)
    assert signal.getsignal(signal.SIGINT) is usual


def test_resuming_a_finished_run_reports_it_and_leaves_it(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    before = load_model(whole).about
    result = train(long_recipe(few), tmp_path / "run", "cpu", resume=True)
    assert (result.dev_wer, result.dev_cer) == (before["dev_wer"], before["dev_cer"])
    assert result.epochs == 3
    check_same_run(tmp_path / "run", whole)


def test_stray_files_are_ignored(few, tmp_path, whole):
    """Newest-file-wins and name patterns are how others load the wrong one."""
    recipe, folder = long_recipe(few), tmp_path / "run"
    train(recipe, folder, "cpu", on_progress=Stopper(5))
    strays = ["last.safetensors.bak", "zz.safetensors", "model (copy).safetensors", ".ab12.tmp",
              "last.pt", "kept/notes.txt", "kept/epoch-0099.safetensors"]  # fmt: skip
    for name in strays:
        (folder / name).write_bytes(b"not this one")
    train(recipe, folder, "cpu", resume=True)
    (folder / "kept/epoch-0099.safetensors").unlink(missing_ok=True)
    check_same_run(folder, whole)
    assert (folder / "kept/notes.txt").read_bytes() == b"not this one"


def test_a_damaged_state_is_refused_not_restarted(few, tmp_path):
    recipe, folder = long_recipe(few), tmp_path / "run"
    train(recipe, folder, "cpu", on_progress=Stopper(5))
    content = (folder / "last.safetensors").read_bytes()
    (folder / "last.safetensors").write_bytes(content[:-10])
    with pytest.raises(CheckpointError, match="not a whole speechgru checkpoint"):
        train(recipe, folder, "cpu", resume=True)


def test_resuming_keeps_to_the_recipe(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"training\.epochs: 3 → 9"):
        train(long_recipe(few, epochs=9), tmp_path / "run", "cpu", resume=True)
    with pytest.raises(TrainingError, match="holds no run to resume"):
        train(long_recipe(few), tmp_path / "empty", "cpu", resume=True)


@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("change", ["text", "order", "fewer", "length", "file"])
def test_resuming_keeps_to_the_data(few, tmp_path, split, change):
    shutil.copytree(few, tmp_path / "data")
    recipe, manifest = long_recipe(tmp_path / "data"), tmp_path / "data" / f"{split}.jsonl"
    train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(5))
    state = (tmp_path / "run/last.safetensors").read_bytes()
    utterances = read_manifest(manifest)
    if change == "file" and split == "train":
        utterances[0].audio.unlink()
    else:
        changed = {
            "text": [replace(utterances[0], text="o"), *utterances[1:]],
            "order": utterances[::-1],
            "fewer": utterances[1:],
            "length": [replace(utterances[0], duration=0.3), *utterances[1:]],
            "file": [*utterances[1:], replace(utterances[0], offset=0.01)],
        }[change]
        write_manifest(manifest, changed)
    with pytest.raises(TrainingError, match="was started with other utterances") as caught:
        train(recipe, tmp_path / "run", "cpu", resume=True)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run/last.safetensors").read_bytes() == state


def test_resuming_does_not_mind_where_the_data_stand(few, tmp_path, whole):
    shutil.copytree(few, tmp_path / "old")
    (tmp_path / "data").symlink_to("old")
    recipe = long_recipe(tmp_path / "data")
    train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(5))
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to("new")
    train(recipe, tmp_path / "run", "cpu", resume=True)
    assert same_weights(tmp_path / "run", whole, "last.safetensors")


def test_a_folder_in_use_is_not_written_over(few, tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(TrainingError, match="holds a run already"):
        train(long_recipe(few), tmp_path / "run", "cpu")
    check_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "sections",
    [
        {"augment": {"noise_manifest": "nowhere.jsonl"}},
        {"model": {"cell": "gruu"}},
        {"data": {"dev": "nowhere.jsonl"}},
    ],
)
def test_what_cannot_start_leaves_no_folder_that_seems_in_use(few, tmp_path, sections):
    with pytest.raises(Exception, match=r"nowhere|gruu"):
        train(quick(few, **sections), tmp_path / "run", "cpu")
    train(quick(few), tmp_path / "run", "cpu")


def test_other_people_s_recipe_errors_stay_what_they_are(few, tmp_path):
    with pytest.raises(ManifestError):
        train(quick(few, data={"dev": "nowhere.jsonl"}), tmp_path / "run", "cpu")


# Killed -----------------------------------------------------------------------------------------


def in_a_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked process; its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        logging.disable()
        work()
        status = 0
    finally:
        os._exit(status)


def killed_or_done(child: int) -> bool:
    """True if it was killed, False if it finished its work; else the test fails."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def go_on(recipe: Recipe, folder: Path) -> Result:
    """What a script that always resumes would do."""
    started = (folder / "recipe.yaml").exists()
    return train(recipe, folder, "cpu", resume=started)


def dies_at(number: int, before: bool) -> Iterator[None]:
    """Replace os.replace by one that kills the process at its `number`-th call."""
    count, replace_file = 0, os.replace

    def fatal(*paths: object) -> None:
        nonlocal count
        count += 1
        if before and count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace_file(*paths)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = fatal
    yield


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_killed_at_each_write_a_run_can_be_resumed(few, tmp_path, whole, before):
    recipe = long_recipe(few)
    for number in range(1, 100):
        folder = tmp_path / f"run{number}"

        def work(folder: Path = folder, number: int = number) -> None:
            next(dies_at(number, before))
            train(recipe, folder, "cpu")

        killed = killed_or_done(in_a_child(work))
        go_on(recipe, folder)
        check_same_run(folder, whole)
        if not killed:
            break
        shutil.rmtree(folder)
    assert 12 < number < 30  # recipe, and for each epoch model, kept, metrics, state; mean


def test_killed_at_random_instants_a_run_can_be_resumed(few, tmp_path, whole):
    recipe, folder = long_recipe(few), tmp_path / "run"
    began = time.monotonic()
    train(recipe, tmp_path / "timed", "cpu")
    usual = time.monotonic() - began
    draw = random.Random(7)
    killed = 0
    for _ in range(12):
        child = in_a_child(lambda: go_on(recipe, folder))
        time.sleep(draw.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        killed += killed_or_done(child)
    assert killed > 0
    go_on(recipe, folder)
    check_same_run(folder, whole)


# Best, patience, mean ---------------------------------------------------------------------------


def scores(*rates: float) -> Callable[[Trainer], object]:
    """A stand-in for score_dev: these WERs in turn, in hundredths."""
    remaining = iter(rates)

    def fake(_: Trainer):
        errors = round(100 * next(remaining))
        return score(["a " * 100], ["a " * (100 - errors)])

    return fake


def run_with(monkeypatch, recipe: Recipe, folder: Path, *rates: float) -> Result:
    monkeypatch.setattr(Trainer, "score_dev", scores(*rates))
    return train(recipe, folder, "cpu")


def test_the_best_epoch_is_kept_and_the_later_of_two_alike(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 5})
    result = run_with(monkeypatch, recipe, tmp_path / "a", 0.5, 0.2, 0.4, 0.2, 0.3)
    about = load_model(tmp_path / "a").about
    assert about["weights"] == "epoch 4"
    assert result.dev_wer == about["dev_wer"] == pytest.approx(0.2)
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
        (2, [0.5, 0.6, 0.4, 0.4, 0.4], 5),
        (2, [0.5, 0.4, 0.3, 0.2, 0.1, 0.05], 6),
        (0, [0.5] * 6, 6),
    ],
)
def test_patience_counts_scorings_without_gain(few, tmp_path, monkeypatch, patience, rates, epochs):
    recipe = quick(few, training={"epochs": 6, "patience": patience})
    assert run_with(monkeypatch, recipe, tmp_path / "run", *rates).epochs == epochs


def test_dev_is_scored_as_often_as_asked_and_at_the_end(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 5, "evaluate_every": 2})
    run_with(monkeypatch, recipe, tmp_path / "run", 0.5, 0.4, 0.3)
    scored = [row["epoch"] for row in metrics(tmp_path / "run") if "dev_wer" in row]
    assert scored == [2, 4, 5]


def test_a_mean_that_dev_likes_less_is_not_taken(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 3, "average": 2})
    result = run_with(monkeypatch, recipe, tmp_path / "run", 0.5, 0.2, 0.4, 0.21)
    assert load_model(tmp_path / "run").about["weights"] == "epoch 2"
    assert result.dev_wer == pytest.approx(0.2)


def test_a_mean_that_dev_likes_is_the_mean_of_the_best_epochs(few, tmp_path, monkeypatch):
    recipe = quick(few, training={"epochs": 4, "average": 2})
    result = run_with(monkeypatch, recipe, tmp_path / "run", 0.5, 0.2, 0.3, 0.4, 0.1)
    loaded = load_model(tmp_path / "run")
    assert loaded.about["weights"] == "mean of 2 epochs"
    assert result.dev_wer == pytest.approx(0.1)
    kept = sorted((tmp_path / "run" / "kept").iterdir())
    assert [file.name for file in kept] == ["epoch-0002.safetensors", "epoch-0003.safetensors"]
    mean = average_weights([tensors_of(file, WEIGHTS_FORMAT) for file in kept])
    for name, tensor in loaded.model.state_dict().items():
        torch.testing.assert_close(tensor, mean[name])


# What a run leaves ------------------------------------------------------------------------------


def test_a_run_s_files(few, tmp_path):
    recipe = quick(few)
    train(recipe, tmp_path / "run", "cpu")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    expected = ["events", "last.safetensors", "metrics.jsonl", "model.safetensors", "recipe.yaml"]
    assert names == expected
    assert (tmp_path / "run" / "recipe.yaml").read_text() == recipe.to_yaml()
    assert list((tmp_path / "run" / "events").iterdir())
    for row in metrics(tmp_path / "run"):
        for key in ("epoch", "step", "loss", "learning_rate", "dev_wer", "dev_cer"):
            assert math.isfinite(row[key])


def test_progress_counts_to_the_end(few, tmp_path):
    seen: list[Progress] = []
    train(quick(few), tmp_path / "run", "cpu", on_progress=seen.append)
    assert [p.step for p in seen] == list(range(1, seen[-1].steps + 1))
    assert [p.epoch for p in seen] == sorted(p.epoch for p in seen)
    assert seen[-1].epoch == seen[-1].epochs == 2
    assert seen[-1].eta == 0
    assert all(p.speed > 0 and p.eta >= 0 and math.isfinite(p.loss) for p in seen)


class Clock:
    """A stand-in for the time module: it stands still until somebody spends time."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def spending(self, work: Callable[..., object], seconds: float) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            self.now += seconds
            return work(*args)

        return wrapped


def test_time_is_that_of_statistics_steps_and_scorings(few, tmp_path, monkeypatch, caplog):
    clock, seen = Clock(), list[Progress]()
    monkeypatch.setattr("speechgru.training.loop.time", clock)
    for owner, work, seconds in (
        (FeatureExtractor, "fit", 1000.0), (Trainer, "_step", 1.0), (Trainer, "score_dev", 100.0)
    ):  # fmt: skip
        monkeypatch.setattr(owner, work, clock.spending(getattr(owner, work), seconds))
    recipe = quick(few, features={"normalise": "global"}, training={"average": 2})
    stop = Stopper(9)

    def watch(progress: Progress) -> None:
        seen.append(progress)
        stop(progress)

    with caplog.at_level(logging.INFO, "speechgru"):
        first = train(recipe, tmp_path / "run", "cpu", on_progress=watch)
        clock.now += 10_000  # nobody trains
        last = train(recipe, tmp_path / "run", "cpu", resume=True, on_progress=watch)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    one, both = rows[0]["step"], rows[1]["step"]
    assert first.interrupted
    assert 1 < one < 9 < both
    assert first.seconds == 1000 + 9 + 100
    assert last.seconds == 1000 + both + 3 * 100  # two epochs and the mean of them
    assert f"{1000 + one + 100} s" in caplog.text
    assert [row["seconds"] for row in rows] == [one, both]
    assert seen[one - 1].eta == both - one  # no scoring is known yet
    assert seen[one].eta == pytest.approx((one + 1 + 100) / (one + 1) * (both - one - 1))


def test_an_epoch_of_skipped_steps_has_no_loss(few, tmp_path, monkeypatch, caplog):
    def skip(trainer: Trainer, _: list[Batch]) -> None:
        trainer.position.skipped_steps += 1

    monkeypatch.setattr(Trainer, "_step", skip)
    seen: list[Progress] = []
    with caplog.at_level(logging.INFO, "speechgru"):
        train(quick(few), tmp_path / "run", "cpu", on_progress=seen.append)
    assert all(math.isnan(progress.loss) for progress in seen)
    assert all("loss" not in row for row in metrics(tmp_path / "run"))
    assert "loss nan" in caplog.text


def test_progress_tells_the_best_score_so_far(few, tmp_path, monkeypatch):
    seen: list[Progress] = []
    monkeypatch.setattr(Trainer, "score_dev", scores(0.5, 0.2, 0.4, 0.3))
    train(quick(few, training={"epochs": 4}), tmp_path / "run", "cpu", on_progress=seen.append)
    told = {p.epoch: p.best_dev_wer for p in seen}
    assert told == {1: None, 2: 0.5, 3: 0.2, 4: 0.2}


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


def damaged(folder: Path) -> Path:
    """A file with a good header and samples that are not numbers."""
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    return folder / "nan.wav"


@pytest.mark.parametrize("normalise", ["utterance", "global"])
@pytest.mark.parametrize("batch_seconds", [0.1, 1.5])  # alone in its batch, and with others
def test_damage_found_while_training_is_named_and_the_rest_goes_on(
    few, tmp_path, caplog, normalise, batch_seconds
):
    utterances = read_manifest(few / "train.jsonl")
    utterances[3] = replace(utterances[3], audio=damaged(tmp_path), duration=1.0)
    write_manifest(tmp_path / "train.jsonl", utterances)
    recipe = quick(
        few,
        data={"train": [str(tmp_path / "train.jsonl")]},
        features={"normalise": normalise},
        training={"batch_seconds": batch_seconds},
    )
    with caplog.at_level(logging.WARNING, "speechgru"):
        assert train(recipe, tmp_path / "run", "cpu").epochs == 2
    assert caplog.text.count("nan is skipped: ") == 1
    assert "nan.wav: 8000 samples are not numbers" in caplog.text
    assert [row["skipped_utterances"] for row in metrics(tmp_path / "run")] == [1, 2]
    assert all(row["skipped_steps"] == 0 for row in metrics(tmp_path / "run"))


def test_batches_hold_the_tokens_of_their_own_rows(few, tmp_path):
    trainer = make_trainer(quick(few), tmp_path)
    batch = trainer._load([5, 1])
    by_id = {u.id: u for u in trainer.data.train}
    texts = [by_id[id_].text for id_ in batch.ids]
    encoded = [trainer.data.vocabulary.encode(text) for text in texts]
    again = collate([by_id[id_] for id_ in batch.ids], list(batch.features), encoded)
    assert torch.equal(again.targets, batch.targets)


def test_the_work_ahead_is_told_and_a_model_that_writes_nothing_is_explained(few, tmp_path, caplog):
    caplog.set_level("INFO", logger="speechgru")
    train(quick(few), tmp_path / "run", "cpu")
    steps = sum(row["step"] for row in metrics(tmp_path / "run")[-1:])
    assert f"about {steps // len(metrics(tmp_path / 'run'))} steps an epoch, {steps} in all" in (
        caplog.text
    )
    assert "still writes nothing" in caplog.text
    assert f"training.epochs, {steps} so far" in caplog.text
