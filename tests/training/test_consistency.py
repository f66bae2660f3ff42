"""Two masked views of each utterance, and the divergence between the outputs for them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from trainings import Stopper, check_same_run, long_recipe, make_trainer, metrics, quick

from speechgru.training.consistency import divergence
from speechgru.training.loop import train
from speechgru.training.step import ctc_loss, train_step

LENGTHS = torch.tensor([5, 3, 5, 3])  # two utterances, two views


def log_probs(seed: int) -> torch.Tensor:
    """(4, 5, 6)"""
    logits = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(seed))
    return torch.log_softmax(logits, -1)


def test_the_divergence_is_from_the_other_view_over_valid_frames():
    outputs = log_probs(1)
    p = outputs.double().exp().numpy()
    other = [2, 3, 0, 1]
    expected = [
        np.sum(p[other[row], :n] * np.log(p[other[row], :n] / p[row, :n]))
        for row, n in enumerate(LENGTHS.tolist())
    ]
    assert min(expected) > 0.5
    np.testing.assert_allclose(divergence(outputs, LENGTHS), expected, rtol=1e-5)


def test_equal_views_do_not_diverge():
    outputs = log_probs(1)[:2].repeat(2, 1, 1)
    assert torch.equal(divergence(outputs, LENGTHS), torch.zeros(4))


def test_padded_frames_do_not_count():
    outputs, changed = log_probs(1), log_probs(1)
    changed[1, 3:], changed[3, 3:] = math.nan, -math.inf
    assert torch.equal(divergence(changed, LENGTHS), divergence(outputs, LENGTHS))


def test_the_gradient_stops_at_the_other_view():
    outputs = log_probs(1).requires_grad_()
    divergence(outputs, LENGTHS)[:2].sum().backward()
    assert outputs.grad[:2].abs().max() > 0.1
    assert not outputs.grad[2:].any()


def test_views_differ_in_their_masks_alone_and_the_first_is_the_only_one_without(few, tmp_path):
    one, two = (
        make_trainer(quick(few, training={"consistency": weight}), tmp_path).loader.load([0, 3], 1)
        for weight in (0.0, 0.2)
    )
    assert one.ids == two.ids
    assert one.seconds == two.seconds
    assert torch.equal(two.features[:2], one.features)
    assert not torch.equal(two.features[2:], one.features)
    both = (two.features[:2] != 0) & (two.features[2:] != 0)
    assert both.float().mean() > 0.5
    assert torch.equal(two.features[:2][both], two.features[2:][both])
    for name in ("lengths", "targets", "target_lengths"):
        assert torch.equal(getattr(two, name), getattr(one, name).repeat(2))


def test_the_loss_is_the_mean_over_views_plus_the_weighted_divergence(few, tmp_path):
    trainer = make_trainer(quick(few, training={"consistency": 0.2}), tmp_path)
    trainer.model.eval()
    batch = trainer.loader.load([0, 3], 0)
    with torch.no_grad():
        outputs, lengths = trainer.model(batch.features, batch.lengths)
        ctc, apart = ctc_loss(trainer.model, batch), divergence(outputs, lengths)
        loss = ctc_loss(trainer.model, batch, consistency=0.2)
    torch.testing.assert_close(loss, ctc + 0.2 * apart)
    done = train_step(trainer.model, trainer.optimiser, [batch], trainer.options)
    per_utterance = loss.sum() / 2
    assert done.loss == pytest.approx(float(per_utterance / batch.target_lengths[:2].sum()))


def test_accumulating_two_batches_equals_one_batch_of_both(few, tmp_path):
    recipe = quick(few, model={"dropout": 0.0}, training={"consistency": 5.0, "clip_norm": 1e9})
    apart, joined = (make_trainer(recipe, tmp_path / name) for name in ("apart", "joined"))
    two = [apart.loader.load([0, 3, 5], 0), apart.loader.load([2, 7], 0)]
    one = [joined.loader.load([2, 3, 0, 7, 5], 0)]
    first = train_step(apart.model, apart.optimiser, two, recipe.training)
    second = train_step(joined.model, joined.optimiser, one, recipe.training)
    assert first.loss == pytest.approx(second.loss, rel=1e-4)
    for p, q in zip(apart.model.parameters(), joined.model.parameters(), strict=True):
        scale = float(q.grad.abs().max())
        torch.testing.assert_close(p.grad, q.grad, atol=1e-4 * scale, rtol=1e-3)


@pytest.mark.parametrize("row", [1, 3])
def test_nan_in_either_view_names_the_utterance_once(few, tmp_path, row):
    trainer = make_trainer(quick(few, training={"consistency": 0.2}), tmp_path)
    batch = trainer.loader.load([0, 3], 0)
    features = batch.features.clone()
    features[row, 0, 0] = math.nan
    bad = replace(batch, features=features)
    done = train_step(trainer.model, trainer.optimiser, [bad], trainer.options)
    assert not done.applied
    assert done.suspects == (batch.ids[1],)


def test_a_run_with_consistency_resumes_and_counts_utterances_once(few, tmp_path, whole):
    recipe = long_recipe(few, consistency=0.2)
    train(recipe, tmp_path / "whole", "cpu")
    assert train(recipe, tmp_path / "run", "cpu", on_progress=Stopper(5)).interrupted
    train(recipe, tmp_path / "run", "cpu", resume=True)
    check_same_run(tmp_path / "run", tmp_path / "whole")
    rows = metrics(tmp_path / "run")
    assert rows[-1]["skipped_utterances"] == 0
    assert rows[0]["loss"] != metrics(whole)[0]["loss"]
