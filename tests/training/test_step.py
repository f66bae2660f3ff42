"""One training step: what it does to the weights, at which learning rate, and with a NaN loss."""

import logging
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
from tones import RATE, say
from trainings import CPU, make_trainer, metrics, quick

from speechgru.batches import Batch, collate
from speechgru.cells.precision import choose_precision
from speechgru.errors import Diverged, RecipeError
from speechgru.kernels import unsupported_reason
from speechgru.manifest import Utterance
from speechgru.manifest_writer import write_manifest
from speechgru.recipe import TrainingRecipe
from speechgru.scoring import Score
from speechgru.training.loop import train
from speechgru.training.step import (
    ctc_loss,
    learning_rate,
    make_optimiser,
    train_step,
)

needs_bfloat16 = pytest.mark.skipif(
    unsupported_reason("bfloat16") is not None, reason=str(unsupported_reason("bfloat16"))
)

# The step ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [1e9, 0.01])
def test_accumulating_two_batches_equals_one_batch_of_both(few, tmp_path, clip_norm):
    recipe = quick(
        few,
        model={"dropout": 0.0},
        augment={"speed": [1.0], "frequency_warp": 0, "frequency_masks": 0, "time_masks": 0},
        training={"clip_norm": clip_norm},
    )
    apart, joined = (make_trainer(recipe, tmp_path / name) for name in ("apart", "joined"))
    for _ in range(3):
        two = [apart.loader.load([0, 3, 5], 0), apart.loader.load([2, 7], 0)]
        one = [joined.loader.load([2, 3, 0, 7, 5], 0)]
        first = train_step(apart.model, apart.optimiser, two, recipe.training)
        second = train_step(joined.model, joined.optimiser, one, recipe.training)
        for p, q in zip(apart.model.parameters(), joined.model.parameters(), strict=True):
            assert p.grad is not None
            scale = float(q.grad.abs().max())
            torch.testing.assert_close(p.grad, q.grad, atol=1e-4 * scale, rtol=1e-3)
            # Adam divides by the gradient's own size: where that is rounding, so is the step.
            torch.testing.assert_close(p, q, atol=2e-3, rtol=0)
        assert first.applied
        assert second.applied
        assert first.loss == pytest.approx(second.loss, rel=1e-4)
        assert first.gradient_norm == pytest.approx(second.gradient_norm, rel=1e-3)
        assert first.tokens == second.tokens


def test_the_loss_is_per_token_whatever_the_batch(few, tmp_path):
    trainer = make_trainer(quick(few, model={"dropout": 0.0}), tmp_path)
    batch = trainer.loader.load([0, 1, 2], 0)
    with torch.no_grad():
        losses = ctc_loss(trainer.model, batch)
    assert losses.shape == (3,)
    done = train_step(trainer.model, trainer.optimiser, [batch], trainer.options)
    assert done.tokens == batch.target_lengths.sum()
    assert done.loss == pytest.approx(float(losses.sum()) / done.tokens, rel=1e-5)


def test_the_gradient_is_clipped_and_its_norm_before_clipping_reported(few, tmp_path):
    trainer = make_trainer(quick(few, training={"clip_norm": 0.01}), tmp_path)
    batch = trainer.loader.load([0, 1], 0)
    done = train_step(trainer.model, trainer.optimiser, [batch], trainer.options)
    norms = [p.grad.norm() for p in trainer.model.parameters()]
    assert done.gradient_norm > 0.01
    assert float(torch.stack(norms).norm()) == pytest.approx(0.01, rel=1e-3)


def test_a_step_of_utterances_without_text_has_a_finite_loss(few, tmp_path):
    recipe = quick(few, augment={"nonspeech_probability": 0.999})
    trainer = make_trainer(recipe, tmp_path / "run")
    batch = trainer.loader.load([0], 0)
    assert batch.target_lengths.sum() == 0
    done = train_step(trainer.model, trainer.optimiser, [batch], trainer.options)
    assert done.applied
    assert math.isfinite(done.loss)


def test_weights_decay_and_biases_do_not(few, tmp_path):
    model = make_trainer(quick(few), tmp_path).model
    optimiser = make_optimiser(model, TrainingRecipe(weight_decay=0.5))
    decayed, rest = optimiser.param_groups
    assert decayed["weight_decay"] == 0.5
    assert rest["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(rest["params"]) == len(list(model.parameters()))


def test_batches_contain_the_tokens_of_their_own_rows(few, tmp_path):
    trainer = make_trainer(quick(few), tmp_path)
    batch = trainer.loader.load([5, 1], 0)
    by_id = {u.id: u for u in trainer.data.train}
    texts = [by_id[id_].text for id_ in batch.ids]
    encoded = [trainer.data.vocabulary.encode(text) for text in texts]
    again = collate([by_id[id_] for id_ in batch.ids], list(batch.features), encoded)
    assert torch.equal(again.targets, batch.targets)


# Precision --------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [None, "the processor has no AVX512-BF16"])
def test_a_cpu_trains_in_float32_unless_told_otherwise(monkeypatch, missing):
    monkeypatch.setattr("speechgru.cells.precision.kernels.unsupported_reason", lambda *_: missing)
    assert (
        choose_precision("auto", CPU, "gru")
        == choose_precision("float32", CPU, "gru")
        == torch.float32
    )
    if missing is None:
        assert choose_precision("bfloat16", CPU, "gru") == torch.bfloat16


@pytest.mark.parametrize(
    ("cell", "missing", "reason"),
    [("gru", "no AVX512-BF16", "no AVX512-BF16"), ("mingru", None, "mingru has no CPU kernel")],
)
def test_bfloat16_is_refused_on_a_cpu_without_it(monkeypatch, few, tmp_path, cell, missing, reason):
    monkeypatch.setattr("speechgru.cells.precision.kernels.unsupported_reason", lambda *_: missing)
    recipe = quick(few, training={"precision": "bfloat16"}, model={"cell": cell})
    with pytest.raises(RecipeError, match=f"bfloat16.*{reason}"):
        train(recipe, tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


@needs_bfloat16
def test_every_step_is_in_bfloat16_though_dev_is_read_in_float32(few, tmp_path, monkeypatch):
    used: list[str] = []
    trainer = make_trainer(quick(few, training={"precision": "bfloat16"}), tmp_path / "run")
    layers = trainer.model.recurrent_layers()
    trainer.on_progress = lambda _: used.extend(layer.precision for layer in layers)
    evaluate = trainer.selection.evaluate

    def evaluated() -> Score:
        score = evaluate()
        assert {layer.precision for layer in layers} == {"float32"}
        return score

    monkeypatch.setattr(trainer.selection, "evaluate", evaluated)
    trainer.start()
    trainer.run(1)
    assert set(used) == {"bfloat16"}
    assert len(used) == 2 * trainer.total_steps


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, bfloat16: bool) -> None:
    monkeypatch.setattr("torch.cuda.device", nullcontext)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: bfloat16)


@pytest.mark.parametrize(
    ("name", "supported", "expected"),
    [
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("float32", True, torch.float32),
        ("float32", False, torch.float32),
        ("bfloat16", True, torch.bfloat16),
    ],
)
def test_auto_is_bfloat16_where_a_gpu_has_hardware_for_it(monkeypatch, name, supported, expected):
    pretend_gpu(monkeypatch, supported)
    assert choose_precision(name, torch.device("cuda:0"), "mingru") == expected


def test_bfloat16_is_refused_on_a_gpu_without_it(monkeypatch):
    pretend_gpu(monkeypatch, False)
    with pytest.raises(RecipeError, match="cuda:0"):
        choose_precision("bfloat16", torch.device("cuda:0"), "gru")


@needs_bfloat16
def test_bfloat16_changes_a_loss_on_a_cpu_a_little(few, tmp_path):
    trainer = make_trainer(quick(few), tmp_path)
    batch = trainer.loader.load([0, 1], 0)
    full, reduced = (
        ctc_loss(trainer.model.eval(), batch, precision)
        for precision in (torch.float32, torch.bfloat16)
    )
    assert full.dtype == reduced.dtype == torch.float32
    assert not torch.equal(full, reduced)
    torch.testing.assert_close(full, reduced, rtol=0.01, atol=0.01)


# Learning rate ----------------------------------------------------------------------------------


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


# The last warm-up step is number 5 of 30. Fractions of the way up and down, by step.
UP = {
    "one-cycle": {0: (1 - math.cos(math.pi / 6)) / 2, 1: 1 / 4, 2: 1 / 2, 3: 3 / 4, 5: 1},
    "cosine": {0: 1 / 6, 1: 1 / 3, 2: 1 / 2, 3: 2 / 3, 5: 1},
}
DOWN = {6: 1, 14: 3 / 4, 18: 1 / 2, 22: 1 / 4, 29: (1 + math.cos(math.pi * 23 / 24)) / 2}


@pytest.mark.parametrize(
    ("schedule", "first", "last"), [("one-cycle", 1 / 25, 1 / 250_000), ("cosine", 0, 0)]
)
def test_learning_rates_at_certain_steps(schedule, first, last):
    options = TrainingRecipe(schedule=schedule, warmup=0.2, learning_rate=1)
    for low, shares in ((first, UP[schedule]), (last, DOWN)):
        rates = {step: learning_rate(options, step, 30) for step in shares}
        assert rates == pytest.approx({n: low + (1 - low) * share for n, share in shares.items()})


def test_one_cycle_is_the_schedule_of_torch_within_a_step():
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


def with_nan(batch: Batch) -> Batch:
    features = batch.features.clone()
    features[0, 0, 0] = math.nan
    return replace(batch, features=features)


@pytest.mark.parametrize("cell", ["gru", "lstm", "ligru"])
def test_a_step_with_nan_changes_nothing_and_names_the_utterance(few, tmp_path, cell):
    trainer = make_trainer(quick(few, model={"cell": cell}), tmp_path)
    trainer.model.train()

    def step(*batches: Batch):
        return train_step(trainer.model, trainer.optimiser, batches, trainer.options)

    assert step(trainer.loader.load([0, 1], 0)).suspects == ()
    before = {name: t.clone() for name, t in trainer.model.state_dict().items()}
    state = str(trainer.optimiser.state_dict()["state"])
    bad = with_nan(trainer.loader.load([4, 5], 0))
    done = step(trainer.loader.load([2, 3], 0), bad)
    assert not done.applied
    assert done.suspects == (bad.ids[0],)
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # LiGRU's running statistics too
    assert str(trainer.optimiser.state_dict()["state"]) == state
    assert step(trainer.loader.load([0, 1], 0)).applied


def test_bad_steps_are_counted_until_a_good_one(few, tmp_path, caplog):
    trainer = make_trainer(quick(few), tmp_path)
    good, state = trainer.loader.load([0, 1], 0), trainer.state
    bad = with_nan(good)
    with caplog.at_level(logging.WARNING, "speechgru"):
        for batch in (good, bad, bad):
            trainer._step([batch])
    assert (state.skipped_steps, state.bad_steps_in_a_row, len(state.gradient_norms)) == (2, 2, 1)
    assert len(caplog.records) == 2
    assert all(bad.ids[0] in record.getMessage() for record in caplog.records)
    trainer._step([good])
    assert (state.skipped_steps, state.bad_steps_in_a_row, len(state.gradient_norms)) == (2, 0, 2)


def unalignable(folder: Path) -> Path:
    """A manifest of one utterance whose text is too long for its audio."""
    wave = say("am", 5)
    soundfile.write(folder / "short.wav", wave, RATE)
    bad = Utterance(folder / "short.wav", len(wave) / RATE, "am " * 200, "short")
    write_manifest(folder / "bad.jsonl", [bad])
    return folder / "bad.jsonl"


def test_an_infinite_loss_is_skipped_and_the_run_continues(few, tmp_path, monkeypatch):
    """Of an utterance that CTC cannot align, with the checks that would exclude it disabled."""
    monkeypatch.setattr("speechgru.training.data.frames_needed", lambda _: 0)
    recipe = quick(few, data={"train": [str(few / "train.jsonl"), str(unalignable(tmp_path))]})
    result = train(recipe, tmp_path / "run", "cpu")
    assert result.epochs == 2
    assert metrics(tmp_path / "run")[-1]["skipped_steps"] == 2


def test_training_gives_up_after_a_number_of_bad_steps_in_a_row(few, tmp_path):
    recipe = quick(
        few, training={"learning_rate": 1e30, "schedule": "constant", "max_bad_steps": 3}
    )
    with pytest.raises(Diverged) as caught:
        train(recipe, tmp_path / "run", "cpu")
    assert "training.learning_rate" in str(caught.value)
    assert "\n" not in str(caught.value)
