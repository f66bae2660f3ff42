"""What an optimiser step does: to the weights, at which rate, and when its loss is no number."""

import logging
import math
from dataclasses import replace

import pytest
import soundfile
import torch
from tones import RATE, say
from trainings import make_trainer, metrics, quick

from speechgru.batches import Batch, collate
from speechgru.errors import TrainingError
from speechgru.manifest import Utterance, write_manifest
from speechgru.recipe import TrainingRecipe
from speechgru.training import train
from speechgru.training.step import ctc_loss, learning_rate, make_optimiser

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
        expected = ctc_loss(trainer.model, batch).sum() / batch.target_lengths.sum()
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


# The last warm-up step is number 5 of 30. Shares of the way up and down by step.
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
        assert torch.equal(tensor, before[name]), name  # LiGRU's running statistics too
    assert (trainer.position.loss_sum, trainer.position.skipped_steps) == (loss, 1)
    assert str(trainer.optimiser.state_dict()["state"]) == state
    assert bad.ids[0] in caplog.text
    assert bad.ids[1] not in caplog.text
    trainer._step([trainer._load([0, 1])])
    assert trainer.position.bad_in_a_row == 0


def test_an_infinite_loss_is_skipped_and_the_run_goes_on(few, tmp_path, caplog, monkeypatch):
    """Of an utterance that CTC cannot align, as if the look beforehand had let it pass."""
    monkeypatch.setattr("speechgru.training.data.frames_needed", lambda _: 0)
    wave = say("am", 5)
    soundfile.write(tmp_path / "short.wav", wave, RATE)
    bad = Utterance(tmp_path / "short.wav", len(wave) / RATE, "am " * 200, "short")
    write_manifest(tmp_path / "bad.jsonl", [bad])
    recipe = quick(few, data={"train": [str(few / "train.jsonl"), str(tmp_path / "bad.jsonl")]})
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


def test_batches_hold_the_tokens_of_their_own_rows(few, tmp_path):
    trainer = make_trainer(quick(few), tmp_path)
    batch = trainer._load([5, 1])
    by_id = {u.id: u for u in trainer.data.train}
    texts = [by_id[id_].text for id_ in batch.ids]
    encoded = [trainer.data.vocabulary.encode(text) for text in texts]
    again = collate([by_id[id_] for id_ in batch.ids], list(batch.features), encoded)
    assert torch.equal(again.targets, batch.targets)
