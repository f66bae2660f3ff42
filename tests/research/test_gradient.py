"""Gradient reach against recurrences whose gradient is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from subject import write_subject

from research.probes import gradient
from research.probes.finding import Rows
from research.probes.gradient_reach import (
    Fresh,
    per_frame,
    probe_gradient_reach,
    summarise,
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
    return gradient.exact(model)


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
    reach = gradient.summarise(curves, 200)
    assert reach.ninety == 3  # 1 − 0.5⁴ = 0.9375 is the first past 0.9
    assert dict(zip(reach.lags, reach.relative, strict=True))[100] == pytest.approx(0.5**100)
    assert per_frame(reach.lags, reach.relative) == pytest.approx(0.5)


def test_what_is_too_small_for_a_number_does_not_become_the_factor() -> None:
    assert per_frame([20, 30, 40], [1.0, 0.5**10, 0.0]) == pytest.approx(0.5)
    assert per_frame([20, 30], [1.0, 0.0]) is None


def test_a_confident_label_has_a_gradient_too() -> None:
    """1 − p = 3e-9 is nothing beside 1 in float32; curves of nothing but zeros are left out."""
    model = linear_model(0.5)
    model.head.bias.data = torch.tensor([0.0, 20.0]).double()
    norms = gradient.gradient_norms(model, torch.full((3, 1), 0.1), [0])
    assert norms[0, 0].item() == pytest.approx(2 * np.exp(-(20 - 2 * 0.1)), rel=1e-6, abs=0)
    nothing = gradient.summarise([torch.zeros(9).double()] * 6, 9)
    assert (nothing.ninety, nothing.labels, nothing.overflowed) == (None, 0, 6)


def test_the_token_that_is_asked_for_is_looked_at() -> None:
    """d log p(a)/dh and d log p(b)/dh of two labels are as their other's probabilities."""
    model, x = linear_model(0.5), torch.full((3, 1), 0.1)
    norms = [gradient.gradient_norms(model, x, [0], torch.tensor([k]))[0, 0] for k in (0, 1)]
    p = 1 / (1 + np.exp(-(2 - 2 * 0.1)))  # of the second
    assert norms[0] / norms[1] == pytest.approx(p / (1 - p), rel=1e-6)
    likeliest = gradient.gradient_norms(model, x, [0])[0, 0]
    assert likeliest == norms[1]


def test_few_labels_give_no_median_and_what_is_no_number_is_left_out() -> None:
    curves = [torch.ones(10).double()] * 5 + [torch.ones(20).double()] * 2
    curves.append(torch.full((20,), torch.nan).double())
    reach = gradient.summarise(curves, 20)
    assert reach.relative[9] == 1
    assert reach.relative[10] is None
    assert (reach.labels, reach.overflowed) == (7, 1)
    assert gradient.summarise(curves[-1:], 20).ninety is None


def test_distances_grow_and_end_at_the_last() -> None:
    lags = gradient.lag_grid(500)
    assert lags[:22] == [*range(21), 21]
    assert lags == sorted(set(lags))
    assert {100, 200, 300, 400, 499} <= set(lags)
    assert gradient.lag_grid(3) == [0, 1, 2]


def test_emissions_are_what_greedy_decoding_writes() -> None:
    best = torch.tensor([0, 1, 1, 0, 1, 2, 2, 0])  # 0: blank
    log_probs = torch.nn.functional.one_hot(best, 3).double().log()
    assert gradient.emissions(log_probs, blank=0) == [1, 4, 5]


def test_fresh_models_vanish_or_explode_by_their_recurrent_weights(tmp_path: Path) -> None:
    """Circular law: weights U(−1/√H, 1/√H) have spectral radius 1/√3, times the gain."""
    fresh = Fresh(("rnn",), seeds=2, gains=(0.5, 3.0), width=48)
    rows = Rows(tmp_path / "rows.jsonl")
    finding = probe_gradient_reach(fresh, [], None, rows, lambda *_: None, steps=120)
    small = finding.numbers["gradient-reach-noise-gain-0.5"]["rnn"]["per_frame"]
    large = finding.numbers["gradient-reach-noise-gain-3"]["rnn"]["per_frame"]
    assert 0.1 < small["low"] <= small["high"] < 0.5 / 3**0.5 * 1.2
    assert large["low"] > 1
    assert len(rows.all) == 4
    assert len(finding.figures) == 2


def test_real_sounds_before_and_after_training(tones: Path, tmp_path: Path) -> None:
    subjects = load_subjects([write_subject(tmp_path / "m.safetensors")])
    finding = probe_gradient_reach(
        Fresh(), subjects, tones / "test.jsonl", Rows(None), lambda *_: None, 50, utterances=8
    )
    assert set(finding.figures) == {
        f"gradient-reach-{x}" for x in ("noise", "utterances", "joined")
    }
    for found in finding.numbers.values():
        assert set(found) == {"gru, untrained", "gru, trained"}
        untrained, trained = found.values()
        assert 0 < untrained["ninety"]["median"] < 50
        assert untrained["at"]["10"] != trained["at"]["10"]


def test_joined_utterances_are_long_enough(tones: Path, tmp_path: Path) -> None:
    (subject,) = load_subjects([write_subject(tmp_path / "m.safetensors")])
    utterances = some_utterances(tones / "test.jsonl", 8)
    sounds = joined_features(subject.checkpoint, utterances, 60)
    assert sounds
    assert all(len(features) >= 120 for features in sounds)  # two feature frames a model frame
    with pytest.raises(SpeechgruError, match=r"shorter than 6000 model frames"):
        joined_features(subject.checkpoint, utterances, 6000)


def test_fresh_models_and_others_are_not_summed_up_together(tones: Path, tmp_path: Path) -> None:
    subjects = load_subjects([write_subject(tmp_path / "m.safetensors")])
    fresh = Fresh(("gru",), seeds=2, width=6)
    finding = probe_gradient_reach(fresh, subjects, None, Rows(None), lambda *_: None, 50)
    (found,) = finding.numbers.values()
    assert {label: values["models"] for label, values in found.items()} == {
        "gru, untrained (1 × 6, only to be probed)": 2,
        "gru, untrained (1 × 8 one-way, 20 ms frames)": 1,
        "gru, trained": 1,
    }


def test_a_gain_is_for_recurrent_weights_that_take_it() -> None:
    fresh = Fresh(("rnn", "mingru", "indrnn"), seeds=1, gains=(1.0, 3.0), width=6)
    finding = probe_gradient_reach(fresh, [], None, Rows(None), lambda *_: None, 30)
    assert set(finding.numbers["gradient-reach-noise"]) == {"rnn", "mingru", "indrnn"}
    assert set(finding.numbers["gradient-reach-noise-gain-3"]) == {"rnn"}


def test_labels_that_are_left_out_are_told() -> None:
    row = {"input": "noise", "gain": 1.0, "state": "initial", "cell": "rnn", "lags": [0, 30],
           "relative": [1.0, 0.1], "ninety": 1.0, "overflowed": 11, "shape": ""}  # fmt: skip
    assert summarise([row]).tables[0].rows[0][-1] == "1 (11 labels left out)"


def test_two_way_models_and_empty_orders_are_refused(tmp_path: Path) -> None:
    two_way = load_subjects([write_subject(tmp_path / "m.safetensors", two_way=True)])
    with pytest.raises(SpeechgruError, match=r"one-way model.*model\.bidirectional=false"):
        probe_gradient_reach(Fresh(), two_way, None, Rows(None), lambda *_: None)
    with pytest.raises(SpeechgruError, match="name runs, or cells"):
        probe_gradient_reach(Fresh(), [], None, Rows(None), lambda *_: None)
    with pytest.raises(SpeechgruError, match="cell 'gruu': expected one of rnn,"):
        probe_gradient_reach(Fresh(("gruu",)), [], None, Rows(None), lambda *_: None)
