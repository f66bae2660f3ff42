"""Gradient reach against recurrences whose gradient is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from subject import write_subject

from research.probes import gradient
from research.probes.finding import Finding, Job
from research.probes.gradient_reach import (
    Untrained,
    per_frame,
    summarise,
    trained_jobs,
    untrained_jobs,
)
from research.probes.subjects import joined_features, load_subjects, some_utterances
from speechgru.errors import SpeechgruError
from speechgru.model import RecurrentCTC
from speechgru.recipe import ModelRecipe


def linear_model(a: float, factor: int = 1) -> RecurrentCTC:
    """h = a·h + (sum of the frame's inputs), while inputs are positive; two labels, from h."""
    recipe = ModelRecipe(
        cell="rnn_relu", layers=1, hidden_size=1, bidirectional=False, factor=factor, dropout=0.0,
        subsampling="stack", layer_norm=False,
    )  # fmt: skip
    model = RecurrentCTC(recipe, 1, 2).double().eval()
    cell = model.recurrent_layers()[0].directions[0]
    for name, value in {"weight_ih": 1.0, "weight_hh": a, "bias_ih": 0.0, "bias_hh": 0.0}.items():
        cell.get_parameter(name).data.fill_(value)
    model.head.weight.data = torch.tensor([[1.0], [-1.0]]).double()
    model.head.bias.data = torch.tensor([-2.0, 0.0]).double()
    return gradient.in_float64(model)


@pytest.mark.parametrize("a", [0.5, 0.9, 1.0, 1.1])
def test_a_linear_recurrence_reaches_back_as_a_power(a: float) -> None:
    norms = gradient.gradient_norms(linear_model(a), torch.full((12, 1), 0.01), [11, 4])
    ratio = norms / norms[:, :1]
    torch.testing.assert_close(ratio[0], a ** torch.arange(12).double())
    torch.testing.assert_close(ratio[1, :5], a ** torch.arange(5).double())
    assert not norms[1, 5:].any()  # before the beginning


def test_the_scale_is_that_of_the_log_probability() -> None:
    """d log σ(z) / dh = z'·(1 − p): of two labels h − 2 and −h, z = 2 − 2h for the second."""
    x = torch.full((3, 1), 0.1)
    norms = gradient.gradient_norms(linear_model(0.5), x, [0])
    p = 1 / (1 + np.exp(-(2 - 2 * 0.1)))
    assert norms[0, 0].item() == pytest.approx(2 * (1 - p), rel=1e-5)


def test_frames_that_make_one_model_frame_count_as_one() -> None:
    """Two equal inputs a frame: √2 of one's norm, and the same power of distance."""
    one = gradient.gradient_norms(linear_model(0.5), torch.full((4, 1), 0.02), [3])
    two = gradient.gradient_norms(linear_model(0.5, factor=2), torch.full((8, 1), 0.01), [3])
    ratio = two / two[:, :1]
    torch.testing.assert_close(ratio[0, :4], torch.tensor([1, 0.5, 0.25, 0.125]).double())
    assert two[0, 1] / one[0, 1] == pytest.approx(2**0.5, rel=1e-2)


def test_summary_of_a_geometric_curve() -> None:
    curves = [scale * 0.5 ** torch.arange(200.0).double() for scale in (1, 2, 4, 8, 16)]
    reach = gradient.median_reach(curves, 200)
    assert reach.reach_90 == 3  # 1 − 0.5⁴ = 0.9375 is the first past 0.9
    assert dict(zip(reach.lags, reach.relative, strict=True))[100] == pytest.approx(0.5**100)
    assert per_frame(dict(zip(reach.lags, reach.relative, strict=True))) == pytest.approx(0.5)


def test_underflow_does_not_become_the_factor() -> None:
    assert per_frame({20: 1.0, 30: 0.5**10, 40: 0.0}) == pytest.approx(0.5)
    assert per_frame({20: 1.0, 30: 0.0}) is None


def test_a_confident_label_has_a_gradient_too() -> None:
    """1 − p = 3e-9 is nothing beside 1 in float32; curves of nothing but zeros are excluded."""
    model = linear_model(0.5)
    model.head.bias.data = torch.tensor([0.0, 20.0]).double()
    norms = gradient.gradient_norms(model, torch.full((3, 1), 0.1), [0])
    assert norms[0, 0].item() == pytest.approx(2 * np.exp(-(20 - 2 * 0.1)), rel=1e-6, abs=0)
    nothing = gradient.median_reach([torch.zeros(9).double()] * 6, 9)
    assert (nothing.reach_90, nothing.labels, nothing.excluded) == (None, 0, 6)


def test_the_given_token_is_measured() -> None:
    """d log p(a)/dh and d log p(b)/dh of two labels are as their other's probabilities."""
    model, x = linear_model(0.5), torch.full((3, 1), 0.1)
    norms = [gradient.gradient_norms(model, x, [0], torch.tensor([k]))[0, 0] for k in (0, 1)]
    p = 1 / (1 + np.exp(-(2 - 2 * 0.1)))  # of the second
    assert norms[0] / norms[1] == pytest.approx(p / (1 - p), rel=1e-6)
    likeliest = gradient.gradient_norms(model, x, [0])[0, 0]
    assert likeliest == norms[1]


def test_few_labels_give_no_median_and_nan_is_excluded() -> None:
    curves = [torch.ones(10).double()] * 5 + [torch.ones(20).double()] * 2
    curves.append(torch.full((20,), torch.nan).double())
    reach = gradient.median_reach(curves, 20)
    assert reach.relative[9] == 1
    assert reach.relative[10] is None
    assert (reach.labels, reach.excluded) == (7, 1)
    assert gradient.median_reach(curves[-1:], 20).reach_90 is None


def test_distances_grow_and_end_at_the_last() -> None:
    lags = gradient.lag_grid(500)
    assert lags[:22] == [*range(21), 21]
    assert lags == sorted(set(lags))
    assert {100, 200, 300, 400, 499} <= set(lags)
    assert gradient.lag_grid(3) == [0, 1, 2]


def test_emission_frames_are_those_of_greedy_decoding() -> None:
    best = torch.tensor([0, 1, 1, 0, 1, 2, 2, 0])  # 0: blank
    log_probs = torch.nn.functional.one_hot(best, 3).double().log()
    assert gradient.emission_frames(log_probs, blank=0) == [1, 4, 5]


def measured(jobs: list[Job]) -> Finding:
    return summarise([job.settings | job.measure() for job in jobs])


def test_gradients_vanish_or_explode_with_the_recurrent_weights() -> None:
    """Circular law: weights U(−1/√H, 1/√H) have spectral radius 1/√3, times the gain."""
    models = [
        Untrained("rnn", seed, gain, hidden_size=48, frames=120)
        for gain in (0.5, 3.0)
        for seed in (1, 2)
    ]
    finding = measured(untrained_jobs(models))
    small, large = (table.rows[0]["× per frame"] for table in finding.tables)
    assert 0.1 < small.low <= small.high < 0.5 / 3**0.5 * 1.2
    assert large.low > 1
    assert list(finding.figures) == [f"gradient-reach-noise-gain-{g}" for g in ("0.5", "3")]


def test_speech_before_and_after_training(tones: Path, tmp_path: Path) -> None:
    subjects = load_subjects([write_subject(tmp_path / "m.safetensors")])
    finding = measured(trained_jobs(subjects, tones / "test.jsonl", 8, frames=50))
    assert list(finding.figures) == [
        f"gradient-reach-{x}" for x in ("noise", "utterances", "joined")
    ]
    for table in finding.tables:
        untrained, trained = table.rows
        assert (untrained["models"], trained["models"]) == ("gru, untrained", "gru, trained")
        assert untrained["10 frames back"] != trained["10 frames back"]
    assert 0 < finding.tables[0].rows[0]["90 % within, frames"].median < 50
    assert finding.tables[1].rows[0]["90 % within, frames"] is None  # cut at the beginning


def test_joined_utterances_are_long_enough(tones: Path, tmp_path: Path) -> None:
    (subject,) = load_subjects([write_subject(tmp_path / "m.safetensors")])
    utterances = some_utterances(tones / "test.jsonl", 8)
    joined = joined_features(subject.checkpoint, utterances, 60)
    assert joined
    assert all(len(features) >= 120 for features in joined)  # two feature frames per model frame
    with pytest.raises(SpeechgruError, match="6000"):
        joined_features(subject.checkpoint, utterances, 6000)


def test_a_gain_needs_recurrent_weights_that_are_not_clipped() -> None:
    models = [
        Untrained(cell, 1, gain, hidden_size=6, frames=30)
        for gain in (1.0, 3.0)
        for cell in ("rnn", "mingru", "indrnn")
    ]
    first, second = measured(untrained_jobs(models)).tables
    assert [row["models"] for row in first.rows] == ["rnn", "mingru", "indrnn"]
    assert [row["models"] for row in second.rows] == ["rnn"]


def test_excluded_labels_are_counted() -> None:
    records = [
        {"input": "noise", "gain": 1.0, "cell": "rnn", "lags": [0, 30], "relative": [1.0, 0.1],
         "reach_90": 1.0, "excluded": count, "shape": ""}
        for count in (11, 2)
    ]  # fmt: skip
    assert summarise(records).tables[0].rows[0]["excluded labels"] == 13


def test_bidirectional_models_and_unknown_cells_are_refused(tmp_path: Path) -> None:
    subjects = load_subjects([write_subject(tmp_path / "m.safetensors", bidirectional=True)])
    with pytest.raises(SpeechgruError, match=r"model\.bidirectional=false"):
        trained_jobs(subjects, None)
    with pytest.raises(SpeechgruError, match="'gruu'"):
        untrained_jobs([Untrained("gruu", 1)])
