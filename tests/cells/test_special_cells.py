"""Properties of single cells; test_cells.py has those of all."""

import numpy as np
import pytest
import torch
from layers import DIRECTIONS, HIDDEN, INPUT, RAGGED, batch, make_layer

from speechgru.cells.minimal import Scan, scan
from speechgru.cells.unroll import valid_frames


def test_mingru_is_minlstm_with_gates_that_add_up_to_one():
    gru, lstm = make_layer("mingru", False), make_layer("minlstm", False)
    z, n = gru.directions[0].weight_ih.chunk(2)
    bias_z, bias_n = gru.directions[0].bias_ih.chunk(2)
    with torch.no_grad():
        lstm.directions[0].weight_ih.copy_(torch.cat([-z, z, n]))
        lstm.directions[0].bias_ih.copy_(torch.cat([-bias_z, bias_z, bias_n]))
    x, lengths = batch(RAGGED)
    torch.testing.assert_close(gru(x, lengths)[0], lstm(x, lengths)[0])


def test_scan_equals_the_papers_scan_in_logarithms():
    torch.manual_seed(0)
    a, b = torch.rand(2, 2, 37, 3, dtype=torch.float64) * 0.9 + 0.05
    log_a = torch.cumsum(a.log(), dim=1)
    expected = torch.exp(log_a + torch.logcumsumexp(b.log() - log_a, dim=1))
    torch.testing.assert_close(Scan.apply(a, b), expected)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8, 13])
def test_gradient_of_the_scan(frames):
    torch.manual_seed(0)
    a = torch.rand(2, frames, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, frames, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Scan.apply, (a, b))
    assert torch.autograd.gradgradcheck(Scan.apply, (a, b))


def test_scan_stays_exact_over_long_sequences():
    """In logarithms, float32 errs by 1e-3 here."""
    torch.manual_seed(0)
    gate = torch.sigmoid(8 * torch.randn(3000, 1, 16))
    b = gate * torch.rand(3000, 1, 16)
    exact = scan(1 - gate.double(), b.double())
    assert (scan(1 - gate, b).double() - exact).abs().max() < 2e-6


@pytest.mark.parametrize(
    ("name", "backend", "biases"),  # a candidate of zero, and gates that retain σ(7) of the memory
    [("mingru", "fused", (-7, -30)), ("minlstm", "fused", (20, -7, -30)),
     ("ligru", "unroll", (7, -30))],
)  # fmt: skip
def test_gates_near_one_forget_under_autocast(name, backend, biases):
    """σ(7) = 0.9991 is 1 in bfloat16."""
    layer = make_layer(name, False, backend).float().eval()
    for parameter in layer.parameters():
        parameter.data.zero_()
    cell = layer.directions[0]
    cell.bias_ih.data = torch.tensor(biases).repeat_interleave(HIDDEN).float()
    if name == "ligru":
        cell.running_mean.zero_()
    x, state = torch.zeros(1, 40, INPUT), (torch.ones(1, 1, HIDDEN),)
    with torch.autocast("cpu", torch.bfloat16):
        y, (h,) = layer(x, torch.tensor([40]), state)
    assert y.dtype == h.dtype == torch.float32
    assert h[0, 0].tolist() == pytest.approx([0.99909**40] * HIDDEN, abs=2e-3)


@DIRECTIONS
def test_ligru_takes_statistics_of_valid_frames_only(bidirectional):
    layer = make_layer("ligru", bidirectional).train()
    x, lengths = batch(RAGGED)
    frames = np.concatenate([x[row, :length].numpy() for row, length in enumerate(RAGGED)])
    expected = []
    for cell in layer.directions:
        pre = frames @ cell.weight_ih.detach().numpy().T
        mean = 0.9 * cell.running_mean.numpy() + 0.1 * pre.mean(axis=0)
        variance = 0.9 * cell.running_var.numpy() + 0.1 * pre.var(axis=0, ddof=1)
        expected.append((mean, variance))
    layer(x, lengths)
    for cell, (mean, variance) in zip(layer.directions, expected, strict=True):
        np.testing.assert_allclose(cell.running_mean.numpy(), mean)
        np.testing.assert_allclose(cell.running_var.numpy(), variance)


def test_ligru_normalises_by_the_batch_in_training_only():
    cell = make_layer("ligru", False).directions[0].train()
    x, lengths = batch(RAGGED)
    valid = valid_frames(lengths, x.shape[1])
    frames = cell.project(x, valid)[valid].detach()
    torch.testing.assert_close(frames.mean(0), cell.bias_ih.detach())
    torch.testing.assert_close(frames.std(0, correction=0), cell.gain.detach().abs(), rtol=1e-3,
                               atol=0)  # fmt: skip
    before = cell.running_mean.clone()
    cell.eval().project(x, valid)
    assert torch.equal(cell.running_mean, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_ligru_keeps_its_statistics_from_a_broken_batch(value):
    layer = make_layer("ligru", False).train()
    before = layer.directions[0].running_var.clone()
    x, lengths = batch(RAGGED)
    x[0, 0, 0] = value
    layer(x, lengths)
    assert torch.equal(layer.directions[0].running_var, before)


def test_ligru_trains_on_a_single_frame():
    layer = make_layer("ligru", False).train()
    y, _ = layer(*batch([1]))
    assert y.isfinite().all()


def test_indrnn_clips_its_recurrent_weight():
    layer = make_layer("indrnn", False)
    with torch.no_grad():
        layer.directions[0].weight_hh.copy_(torch.linspace(-1.5, 1.5, 7))
    layer(*batch(RAGGED))
    assert layer.directions[0].weight_hh.tolist() == [-1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("name", ["gru_ln", "lstm_ln"])
def test_layer_normalised_cells_are_invariant_to_the_scale_of_their_weights(name):
    """Ba et al., section 5.1: invariant to re-scaling of a weight matrix, up to ε."""
    layer = make_layer(name, True, hidden_size=16)
    x, lengths = batch(RAGGED)
    before = layer(x, lengths)[0]
    with torch.no_grad():
        for cell in layer.directions:
            cell.weight_ih.mul_(10)
            cell.weight_hh.mul_(10)
    torch.testing.assert_close(layer(x, lengths)[0], before, rtol=0, atol=1e-3)
