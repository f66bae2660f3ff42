"""Each cell against its equations in NumPy, and all of them against what every cell promises.

The compiled CPU kernels have their own tests; here `road` is the equations or the fused form.
"""

import numpy as np
import pytest
import torch
from torch import nn

from speechgru.cells import CELLS, Cell, RecurrentLayer
from speechgru.cells.base import State
from speechgru.cells.minimal import Scan, scan
from speechgru.checkpoint import Blueprint, load_model, new_bundle, save_model
from speechgru.model import RecurrentCTC
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.text import Vocabulary

NEW = ["cifg", "gru_ln", "lstm_ln", "ligru", "mingru", "minlstm", "indrnn"]
FUSED = ["rnn", "rnn_relu", "gru", "lstm", "cifg", "mingru", "minlstm"]
WAYS = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
ROADS = [(name, "unroll") for name in CELLS] + [(name, "fused") for name in FUSED]
LENGTHS = [7, 3, 1, 6]


def make_layer(
    name: str, bidirectional: bool, road: str = "unroll", size: int = 5, width: int = 4
) -> RecurrentLayer:
    """A layer in float64 whose every weight and statistic differs from its first value."""
    torch.manual_seed(3)
    layer = RecurrentLayer(CELLS[name], size, width, bidirectional).double()
    layer.road = road  # type: ignore[assignment]
    with torch.no_grad():
        for tensor in layer.parameters():
            tensor.add_(0.4 * torch.randn_like(tensor))
        for buffer_name, buffer in layer.named_buffers():
            buffer.add_(torch.rand_like(buffer) if "var" in buffer_name else 0.3)
    return layer.eval()


def padded_batch(lengths: list[int], size: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows, with rubbish where they are padded."""
    torch.manual_seed(4)
    x = torch.randn(len(lengths), max(lengths), size, dtype=torch.float64)
    for row, length in enumerate(lengths):
        x[row, length:] = 1e3
    return x, torch.tensor(lengths)


# The equations, one frame of one row at a time ---------------------------------------------------


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def layer_normalised(a, gain, shift):
    return gain * (a - a.mean()) / np.sqrt(((a - a.mean()) ** 2).mean() + 1e-5) + shift


def cifg(w, x, h, c):
    i, g, o = np.split(w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"], 3)
    c = (1 - sigmoid(i)) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_ln(w, x, h, _):
    n = len(h)

    def pre(part, v):  # the gates' 2·H rows share mean and variance, the candidate's H have theirs
        a, gain, shift = w[f"weight_{part}"] @ v, w[f"gain_{part}"], w[f"bias_{part}"]
        gates = layer_normalised(a[: 2 * n], gain[: 2 * n], shift[: 2 * n])
        return gates[:n], gates[n:], layer_normalised(a[2 * n :], gain[2 * n :], shift[2 * n :])

    (x_r, x_z, x_n), (h_r, h_z, h_n) = pre("ih", x), pre("hh", h)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return (1 - z) * np.tanh(x_n + r * h_n) + z * h, None


def lstm_ln(w, x, h, c):
    gates = layer_normalised(w["weight_ih"] @ x, w["gain_ih"], w["bias_ih"])
    gates = gates + layer_normalised(w["weight_hh"] @ h, w["gain_hh"], w["bias_hh"])
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(layer_normalised(c, w["gain_c"], w["bias_c"])), c


def ligru(w, x, h, _):
    a = (w["weight_ih"] @ x - w["running_mean"]) / np.sqrt(w["running_var"] + 1e-5)
    z, n = np.split(w["gain"] * a + w["bias_ih"] + w["weight_hh"] @ h, 2)
    return (1 - sigmoid(z)) * np.maximum(n, 0) + sigmoid(z) * h, None


def g(a):
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def mingru(w, x, h, _):
    z, n = np.split(w["weight_ih"] @ x + w["bias_ih"], 2)
    return (1 - sigmoid(z)) * h + sigmoid(z) * g(n), None


def minlstm(w, x, h, _):
    f, i, n = np.split(w["weight_ih"] @ x + w["bias_ih"], 3)
    f, i = sigmoid(f), sigmoid(i)
    return f / (f + i) * h + i / (f + i) * g(n), None


def indrnn(w, x, h, _):
    u = np.clip(w["weight_hh"], -1, 1)
    return np.maximum(w["weight_ih"] @ x + w["bias_ih"] + u * h, 0), None


EQUATIONS = {f.__name__: f for f in (cifg, gru_ln, lstm_ln, ligru, mingru, minlstm, indrnn)}


def by_hand(name: str, cell: nn.Module, x: np.ndarray) -> np.ndarray:
    """(frames, size) → (frames, H)"""
    weights = {key: value.numpy() for key, value in cell.state_dict().items()}
    h, c, outputs = np.zeros(4), np.zeros(4), []
    for frame in x:
        h, c = EQUATIONS[name](weights, frame, h, c)
        outputs.append(h)
    return np.stack(outputs)


@WAYS
@pytest.mark.parametrize(("name", "road"), [r for r in ROADS if r[0] in NEW])
def test_equals_its_equations(name: str, road: str, bidirectional: bool) -> None:
    layer = make_layer(name, bidirectional, road)
    x, lengths = padded_batch(LENGTHS)
    y = layer(x, lengths)[0].detach()
    for row, length in enumerate(LENGTHS):
        one = x[row, :length].numpy()
        expected = by_hand(name, layer.directions[0], one)
        if bidirectional:
            backward = by_hand(name, layer.directions[1], one[::-1])[::-1]
            expected = np.concatenate([expected, backward], axis=1)
        np.testing.assert_allclose(y[row, :length].numpy(), expected, atol=1e-9)
        assert not y[row, length:].any()


# What every cell promises ------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("name", FUSED)
def test_fused_equals_step_by_step_with_gradients(name: str, bidirectional: bool) -> None:
    results = []
    for road in ("unroll", "fused"):
        layer = make_layer(name, bidirectional, road)
        x, lengths = padded_batch(LENGTHS)
        x.requires_grad_()
        y, _ = layer(x, lengths)
        y.square().sum().backward()
        results.append([y.detach(), x.grad, *(p.grad for p in layer.parameters())])
    for stepped, fused in zip(*results, strict=True):
        torch.testing.assert_close(stepped, fused, rtol=0, atol=1e-9)


@WAYS
@pytest.mark.parametrize(("name", "road"), ROADS)
def test_a_row_alone_equals_itself_in_a_padded_batch(
    name: str, road: str, bidirectional: bool
) -> None:
    layer = make_layer(name, bidirectional, road)
    x, lengths = padded_batch(LENGTHS)
    together = layer(x, lengths)[0]
    for row, length in enumerate(LENGTHS):
        alone = layer(x[row : row + 1, :length], lengths[row : row + 1])[0]
        torch.testing.assert_close(together[row, :length], alone[0], rtol=0, atol=1e-9)


@WAYS
@pytest.mark.parametrize("name", CELLS)
def test_padding_changes_no_gradient_in_training(name: str, bidirectional: bool) -> None:
    """Also Li-GRU's, whose training statistics are of the valid frames."""
    gradients = []
    for rubbish in (0.0, 1e3):
        layer = make_layer(name, bidirectional).train()
        x, lengths = padded_batch(LENGTHS)
        x = torch.where(x == 1e3, rubbish, x).requires_grad_()
        layer(x, lengths)[0].square().sum().backward()
        assert not any(x.grad[row, length:].any() for row, length in enumerate(LENGTHS))
        gradients.append([x.grad, *(p.grad for p in layer.parameters())])
    for clean, dirty in zip(*gradients, strict=True):
        torch.testing.assert_close(clean, dirty, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "road"), ROADS)
def test_chunk_by_chunk_equals_one_call(name: str, road: str) -> None:
    layer = make_layer(name, bidirectional=False, road=road)
    x, lengths = padded_batch(LENGTHS)
    whole, final = layer(x, lengths, layer.initial_state(len(LENGTHS)))
    for size in (1, 2, 3):
        state: State = layer.initial_state(len(LENGTHS))
        parts = []
        for start in range(0, x.shape[1], size):
            chunk = x[:, start : start + size]
            left = (lengths - start).clamp(0, chunk.shape[1])
            y, state = layer(chunk, left, state)
            parts.append(y)
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-9)
        for got, expected in zip(state, final, strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CELLS)
def test_empty_rows_and_no_frames(name: str) -> None:
    layer = make_layer(name, bidirectional=True)
    y, _ = layer(torch.ones(2, 3, 5, dtype=torch.float64), torch.tensor([3, 0]))
    assert not y[1].any()
    assert layer(torch.ones(2, 0, 5, dtype=torch.float64), torch.tensor([0, 0]))[0].shape == (
        2, 0, 8,
    )  # fmt: skip


COUNTS = {  # for input 5 and width 4, by hand: (parameters, multiply-accumulates a frame)
    "rnn": (16 + 20 + 8, 36),
    "rnn_relu": (16 + 20 + 8, 36),
    "gru": (3 * 44, 3 * 36),
    "lstm": (4 * 44, 4 * 36),
    "cifg": (3 * 44, 3 * 36),
    "gru_ln": (3 * (20 + 16 + 2 * 8), 3 * 36),
    "lstm_ln": (4 * (20 + 16 + 2 * 8) + 8, 4 * 36),
    "ligru": (2 * (20 + 16 + 8), 2 * 36),
    "mingru": (2 * 24, 2 * 20),
    "minlstm": (3 * 24, 3 * 20),
    "indrnn": (20 + 4 + 4, 20),
}


@pytest.mark.parametrize("name", CELLS)
def test_counts(name: str) -> None:
    cell = CELLS[name](5, 4)
    real = sum(parameter.numel() for parameter in cell.parameters())
    assert (real, type(cell).macs_per_frame(5, 4)) == COUNTS[name]
    assert type(cell).parameter_count(5, 4) == real


@pytest.mark.parametrize(("name", "road"), ROADS)
def test_gradients_are_finite_over_400_steps(name: str, road: str) -> None:
    torch.manual_seed(0)
    layer = RecurrentLayer(CELLS[name], 8, 16, bidirectional=True)
    layer.road = road  # type: ignore[assignment]
    x = (3 * torch.randn(2, 400, 8)).requires_grad_()
    y, _ = layer(x, torch.tensor([400, 350]))
    y[0, -1, :16].sum().backward()  # the last output alone: its gradient goes all the way back
    assert x.grad.isfinite().all()
    for weight_name, weight in layer.directions[0].named_parameters():
        assert weight.grad.isfinite().all(), weight_name
        assert weight.grad.any(), weight_name


@pytest.mark.parametrize("name", NEW)
def test_trains_and_is_saved_whole(name: str, tmp_path) -> None:
    """A tiny recogniser learns six utterances, and scores the same from its file."""
    torch.manual_seed(0)
    recipe = ModelRecipe(
        cell=name, layers=1, width=24, subsampling="stack", layer_norm=False, dropout=0.0
    )
    features = FeatureRecipe()
    blueprint = Blueprint(text=TextRecipe(), features=features, model=recipe)
    bundle = new_bundle(blueprint, Vocabulary(("<blank>", "a", "b", "c")), {})
    model = bundle.model
    x, lengths = torch.randn(6, 30, model.feature_size), torch.tensor([30, 28, 26, 24, 22, 20])
    targets, target_lengths = torch.randint(1, 4, (6, 4)), torch.full((6,), 4)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        losses.append(ctc_loss(model, x, lengths, targets, target_lengths))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.1 * losses[0]
    model.eval()
    assert ctc_loss(model, x, lengths, targets, target_lengths) < 0.5 * losses[0]
    save_model(tmp_path / "model.safetensors", bundle)
    loaded = load_model(tmp_path / "model.safetensors").model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x, lengths)[0], model(x, lengths)[0])


def ctc_loss(model: RecurrentCTC, x, lengths, targets, target_lengths) -> torch.Tensor:
    log_probs, frames = model(x, lengths)
    return nn.functional.ctc_loss(log_probs.transpose(0, 1), targets, frames, target_lengths)


# What is special to one --------------------------------------------------------------------------


def test_mingru_is_minlstm_with_gates_that_add_up_to_one() -> None:
    gru, lstm = make_layer("mingru", False), make_layer("minlstm", False)
    z, n = gru.directions[0].weight_ih.chunk(2)
    bias_z, bias_n = gru.directions[0].bias_ih.chunk(2)
    with torch.no_grad():
        lstm.directions[0].weight_ih.copy_(torch.cat([-z, z, n]))
        lstm.directions[0].bias_ih.copy_(torch.cat([-bias_z, bias_z, bias_n]))
    x, lengths = padded_batch(LENGTHS)
    torch.testing.assert_close(gru(x, lengths)[0], lstm(x, lengths)[0])


def test_scan_equals_the_papers_scan_in_logarithms() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(2, 2, 37, 3, dtype=torch.float64) * 0.9 + 0.05
    log_a = torch.cumsum(a.log(), dim=1)
    expected = torch.exp(log_a + torch.logcumsumexp(b.log() - log_a, dim=1))
    torch.testing.assert_close(Scan.apply(a, b), expected)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8, 13])
def test_gradient_of_the_scan(frames: int) -> None:
    torch.manual_seed(0)
    a = torch.rand(2, frames, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, frames, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Scan.apply, (a, b))


def test_scan_stays_exact_over_long_sequences() -> None:
    """In logarithms, float32 errs by 1e-3 here."""
    torch.manual_seed(0)
    gate = torch.sigmoid(8 * torch.randn(3000, 1, 16))
    b = gate * torch.rand(3000, 1, 16)
    exact = scan(1 - gate.double(), b.double())
    assert (scan(1 - gate, b).double() - exact).abs().max() < 2e-6


@pytest.mark.parametrize(
    ("name", "road", "biases"),  # a candidate of zero, and gates that keep σ(7) of the memory
    [("mingru", "fused", (-7, -30)), ("minlstm", "fused", (20, -7, -30)),
     ("ligru", "unroll", (7, -30))],
)  # fmt: skip
def test_gates_near_one_forget_under_autocast(name: str, road: str, biases: tuple[int]) -> None:
    """σ(7) = 0.9991 is 1 in bfloat16."""
    layer = make_layer(name, False, road).float().eval()
    for parameter in layer.parameters():
        parameter.data.zero_()
    cell = layer.directions[0]
    cell.bias_ih.data = torch.tensor(biases).repeat_interleave(4).float()
    if name == "ligru":
        cell.running_mean.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        y, (h,) = layer(torch.zeros(1, 40, 5), torch.tensor([40]), (torch.ones(1, 1, 4),))
    assert y.dtype == h.dtype == torch.float32
    assert h[0, 0].tolist() == pytest.approx([0.99909**40] * 4, abs=2e-3)


def test_first_values() -> None:
    """Weights are drawn by one rule, U(−1/√H, 1/√H); what other papers fix stands apart."""
    torch.manual_seed(1)
    fixed = {"gain": 1, "gain_ih": 1, "gain_hh": 1, "gain_c": 1, "bias_c": 0}
    for name, make in CELLS.items():
        for tensor_name, tensor in make(9, 64).named_parameters():
            if tensor_name in fixed:
                assert (tensor == fixed[tensor_name]).all(), name
            else:
                low = 0 if (name, tensor_name) == ("indrnn", "weight_hh") else -1 / 8
                high = 1 if low == 0 else 1 / 8
                assert low <= tensor.min() < 0.2 * high, (name, tensor_name)
                assert 0.8 * high < tensor.max() <= high, (name, tensor_name)


@WAYS
def test_ligru_takes_statistics_of_valid_frames_only(bidirectional: bool) -> None:
    layer = make_layer("ligru", bidirectional).train()
    x, lengths = padded_batch(LENGTHS)
    frames = np.concatenate([x[row, :length].numpy() for row, length in enumerate(LENGTHS)])
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


def test_ligru_normalises_by_the_batch_in_training_and_not_in_use() -> None:
    cell = make_layer("ligru", False).directions[0].train()
    x, lengths = padded_batch(LENGTHS)
    valid = torch.arange(7)[None] < lengths[:, None]
    frames = cell.project(x, valid)[valid].detach()
    torch.testing.assert_close(frames.mean(0), cell.bias_ih.detach())
    torch.testing.assert_close(frames.std(0, correction=0), cell.gain.detach().abs(), rtol=1e-3,
                               atol=0)  # fmt: skip
    before = cell.running_mean.clone()
    cell.eval().project(x, valid)
    assert torch.equal(cell.running_mean, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_ligru_keeps_its_statistics_from_a_broken_batch(value: float) -> None:
    layer = make_layer("ligru", False).train()
    before = layer.directions[0].running_var.clone()
    x, lengths = padded_batch(LENGTHS)
    x[0, 0, 0] = value
    layer(x, lengths)
    assert torch.equal(layer.directions[0].running_var, before)


def test_ligru_trains_on_a_single_frame() -> None:
    layer = make_layer("ligru", False).train()
    y, _ = layer(*padded_batch([1]))
    assert y.isfinite().all()


def test_indrnn_clips_its_recurrent_weight() -> None:
    layer = make_layer("indrnn", False)
    with torch.no_grad():
        layer.directions[0].weight_hh.copy_(torch.tensor([1.5, -1.5, 0.5, 1.0]))
    layer(*padded_batch(LENGTHS))
    assert layer.directions[0].weight_hh.tolist() == [1.0, -1.0, 0.5, 1.0]


@pytest.mark.parametrize("name", ["gru_ln", "lstm_ln"])
def test_layer_normalised_cells_do_not_see_the_scale_of_their_weights(name: str) -> None:
    """Ba et al., section 5.1: invariant to re-scaling of a weight matrix (all but ε)."""
    layer = make_layer(name, True, width=16)
    x, lengths = padded_batch(LENGTHS)
    before = layer(x, lengths)[0]
    with torch.no_grad():
        for cell in layer.directions:
            assert isinstance(cell, Cell)
            cell.weight_ih.mul_(10)
            cell.weight_hh.mul_(10)
    torch.testing.assert_close(layer(x, lengths)[0], before, rtol=0, atol=1e-3)
