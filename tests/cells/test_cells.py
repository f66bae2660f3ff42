"""Every cell on every backend it has: its equations in NumPy and torch.nn's layers; independence of
batch mates and padding; streams, counts, first values, training."""

import numpy as np
import pytest
import torch
from layers import BACKENDS, DIRECTIONS, EVEN, HIDDEN, INPUT, RAGGED, batch, make_layer, some_state
from torch import nn

from speechgru.cells import CELLS, RecurrentLayer
from speechgru.cells.unroll import reverse_valid
from speechgru.checkpoint import ModelConfig, load_model, new_checkpoint, save_model
from speechgru.model import RecurrentCTC
from speechgru.recipe import FeatureRecipe, ModelRecipe, TextRecipe
from speechgru.text import Vocabulary

EACH_BACKEND = pytest.mark.parametrize(("name", "backend"), BACKENDS)
OTHER_BACKENDS = pytest.mark.parametrize(
    ("name", "backend"), [r for r in BACKENDS if r[1] != "unroll"]
)
BOTH_LENGTHS = pytest.mark.parametrize("lengths", [RAGGED, EVEN], ids=["ragged", "even"])
EXACT = {"rtol": 0, "atol": 1e-9}


# The equations, one frame of one row at a time: weights, x and the old state → the new state -----


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def layer_normalised(a, gain, shift):
    return gain * (a - a.mean()) / np.sqrt(((a - a.mean()) ** 2).mean() + 1e-5) + shift


def product_of(part, w, v):
    return w[f"weight_{part}"] @ v + w[f"bias_{part}"]


def normalised_product_of(part, w, v):
    return layer_normalised(w[f"weight_{part}"] @ v, w[f"gain_{part}"], w[f"bias_{part}"])


def rnn(w, x, h):
    return (np.tanh(product_of("ih", w, x) + product_of("hh", w, h)),)


def rnn_relu(w, x, h):
    return (np.maximum(product_of("ih", w, x) + product_of("hh", w, h), 0),)


def gru(w, x, h):
    x_r, x_z, x_n = np.split(product_of("ih", w, x), 3)
    h_r, h_z, h_n = np.split(product_of("hh", w, h), 3)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return ((1 - z) * np.tanh(x_n + r * h_n) + z * h,)


def lstm(w, x, h, c):
    i, f, g, o = np.split(product_of("ih", w, x) + product_of("hh", w, h), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def cifg(w, x, h, c):
    i, g, o = np.split(product_of("ih", w, x) + product_of("hh", w, h), 3)
    c = (1 - sigmoid(i)) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_ln(w, x, h):
    def gates(part, v):  # r and z share mean and variance, the candidate has its own
        both = {key: value[: 2 * len(h)] for key, value in w.items()}
        candidate = {key: value[2 * len(h) :] for key, value in w.items()}
        r, z = np.split(normalised_product_of(part, both, v), 2)
        return r, z, normalised_product_of(part, candidate, v)

    (x_r, x_z, x_n), (h_r, h_z, h_n) = gates("ih", x), gates("hh", h)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return ((1 - z) * np.tanh(x_n + r * h_n) + z * h,)


def lstm_ln(w, x, h, c):
    gates = normalised_product_of("ih", w, x) + normalised_product_of("hh", w, h)
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(layer_normalised(c, w["gain_c"], w["bias_c"])), c


def ligru(w, x, h):
    a = (w["weight_ih"] @ x - w["running_mean"]) / np.sqrt(w["running_var"] + 1e-5)
    z, n = np.split(w["gain"] * a + w["bias_ih"] + w["weight_hh"] @ h, 2)
    return ((1 - sigmoid(z)) * np.maximum(n, 0) + sigmoid(z) * h,)


def positive(a):
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def mingru(w, x, h):
    z, n = np.split(product_of("ih", w, x), 2)
    return ((1 - sigmoid(z)) * h + sigmoid(z) * positive(n),)


def minlstm(w, x, h):
    f, i, n = np.split(product_of("ih", w, x), 3)
    f, i = sigmoid(f), sigmoid(i)
    return (f / (f + i) * h + i / (f + i) * positive(n),)


def indrnn(w, x, h):
    return (np.maximum(product_of("ih", w, x) + np.clip(w["weight_hh"], -1, 1) * h, 0),)


EQUATIONS = {
    f.__name__: f
    for f in (rnn, rnn_relu, gru, lstm, cifg, gru_ln, lstm_ln, ligru, mingru, minlstm, indrnn)
}


def by_hand(name, layer, x, lengths, state):
    """(batch, frames, directions·H), zero at padded frames, and the states after each row's end."""
    y = np.zeros((*x.shape[:2], layer.output_size))
    final = [part.double().numpy().copy() for part in state]
    for direction, cell in enumerate(layer.directions):
        weights = {key: value.double().numpy() for key, value in cell.state_dict().items()}
        for row, length in enumerate(lengths.tolist()):
            now = tuple(part[direction, row] for part in final)
            for t in range(length) if direction == 0 else reversed(range(length)):
                now = EQUATIONS[name](weights, x[row, t].double().numpy(), *now)
                y[row, t, direction * HIDDEN : (direction + 1) * HIDDEN] = now[0]
            for part, value in zip(final, now, strict=True):
                part[direction, row] = value
    return y, final


@DIRECTIONS
@BOTH_LENGTHS
@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
@EACH_BACKEND
@torch.no_grad()
def test_a_layer_computes_its_equations(name, backend, dtype, atol, lengths, bidirectional):
    layer = make_layer(name, bidirectional, backend).to(dtype)
    x, lengths = batch(lengths)
    x, zeros = x.to(dtype), layer.initial_state(len(x))
    for start in (None, zeros, some_state(layer, len(x))):
        expected, ends = by_hand(name, layer, x, lengths, start or zeros)
        y, final = layer(x, lengths, start)
        assert y.dtype == dtype
        np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=atol)
        assert (final is None) == (start is None)
        for part, end in zip(final or (), ends if final else (), strict=True):
            np.testing.assert_allclose(part.numpy(), end, rtol=0, atol=atol)


TORCH = {
    "rnn": (nn.RNN, {}), "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}), "lstm": (nn.LSTM, {}),
}  # fmt: skip


@DIRECTIONS
@pytest.mark.parametrize(("name", "backend"), [r for r in BACKENDS if r[0] in TORCH])
def test_a_layer_is_torch_s_with_its_weights_copied(name, backend, bidirectional):
    layer = make_layer(name, bidirectional, backend)
    kind, options = TORCH[name]
    theirs = kind(INPUT, HIDDEN, batch_first=True, bidirectional=bidirectional, **options).double()
    x, lengths = batch([length for length in RAGGED if length])  # torch packs no empty row
    with torch.no_grad():
        for cell, suffix in zip(layer.directions, ["_l0", "_l0_reverse"], strict=False):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, part + suffix).copy_(getattr(cell, part))
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
        torch.testing.assert_close(layer(x, lengths)[0], expected, **EXACT)


# Backends ---------------------------------------------------------------------------------------


@OTHER_BACKENDS
def test_no_backend_falls_back_to_another_and_auto_chooses_the_fastest(name, backend, monkeypatch):
    def never(*_):
        raise AssertionError("another backend was used")

    monkeypatch.setattr(CELLS[name], "step", never)
    if backend == "cpu":
        monkeypatch.setattr(CELLS[name], "fused", never)
    for each in (backend, "auto") if backend == dict(BACKENDS)[name] else (backend,):
        layer = make_layer(name, True, each)
        for lengths in (RAGGED, EVEN):
            layer(*batch(lengths))
            # A library returns c after the padding of ragged rows: only those are unrolled.
            if backend == "cpu" or lengths == EVEN or CELLS[name].states == 1:
                layer(*batch(lengths), some_state(layer, len(lengths)))


def outputs_and_gradients(layer, x, lengths, state=None):
    """Gradients of input, state and parameters, from all outputs, each weighted differently."""
    state = state and tuple(part.requires_grad_() for part in state)
    y, final = layer(x.requires_grad_(), lengths, state)
    outputs = (y, *(final or ()))
    torch.manual_seed(6)
    upstream = [torch.randn_like(part) for part in outputs]
    wanted = [x, *(state or ()), *layer.parameters()]
    return outputs, torch.autograd.grad(outputs, wanted, upstream)


@DIRECTIONS
@BOTH_LENGTHS
@OTHER_BACKENDS
def test_every_backend_gives_the_same_outputs_states_and_gradients(
    name, backend, lengths, bidirectional
):
    for with_state in (False, True):
        results = []
        for each in ("unroll", backend):
            layer = make_layer(name, bidirectional, each)
            state = some_state(layer, len(lengths)) if with_state else None
            results.append(outputs_and_gradients(layer, *batch(lengths), state))
        torch.testing.assert_close(*results, **EXACT)


@EACH_BACKEND
def test_gradients_are_finite_over_400_steps(name, backend):
    torch.manual_seed(0)
    layer = RecurrentLayer(CELLS[name], 8, 16, bidirectional=True)
    layer.backend = backend
    x = (3 * torch.randn(2, 400, 8)).requires_grad_()
    y, _ = layer(x, torch.tensor([400, 350]))
    y[0, -1, :16].sum().backward()  # the last output alone: its gradient goes all the way back
    assert x.grad.isfinite().all()
    for weight_name, weight in layer.directions[0].named_parameters():
        assert weight.grad.isfinite().all(), weight_name
        assert weight.grad.any(), weight_name


# Padding and chunks -----------------------------------------------------------------------------


@DIRECTIONS
@EACH_BACKEND
@torch.no_grad()
def test_a_row_alone_equals_itself_in_a_padded_batch(name, backend, bidirectional):
    layer = make_layer(name, bidirectional, backend)
    x, lengths = batch(RAGGED, garbage=1e4)
    together, _ = layer(x, lengths)
    assert torch.equal(together, layer(*batch(RAGGED, garbage=0))[0])
    for row, length in enumerate(RAGGED):
        alone, _ = layer(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], **EXACT)
        assert not together[row, length:].any()


@DIRECTIONS
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@EACH_BACKEND
def test_no_gradient_reaches_padding_or_comes_from_it(name, backend, training, bidirectional):
    """Also Li-GRU's, whose training statistics are of the valid frames."""
    results = []
    for garbage in (0.0, 1e3):
        layer = make_layer(name, bidirectional, backend).train(training)
        results.append(outputs_and_gradients(layer, *batch(RAGGED, garbage)))
        _, (of_x, *_) = results[-1]
        for row, length in enumerate(RAGGED):
            reached = of_x[row].any(dim=1)
            assert reached[:length].any() == (length > 0)
            assert not reached[length:].any()
    torch.testing.assert_close(*results, **EXACT)


@pytest.mark.parametrize("sizes", [[1] * 8, [1, 2, 5], [3, 3, 2]], ids=str)
@EACH_BACKEND
@torch.no_grad()
def test_chunk_by_chunk_equals_one_call(name, backend, sizes):
    layer = make_layer(name, False, backend)
    x, lengths = batch(RAGGED)
    state = some_state(layer, len(x))
    whole, final = layer(x, lengths, state)
    parts = []
    for chunk in x.split(sizes, dim=1):
        y, state = layer(chunk, lengths.clamp(max=chunk.shape[1]), state)
        lengths = (lengths - chunk.shape[1]).clamp(min=0)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **EXACT)
    torch.testing.assert_close(state, final, **EXACT)


@pytest.mark.parametrize("frames", [0, 3])
@EACH_BACKEND
def test_empty_rows_alone_leave_the_state_as_it_was(name, backend, frames):
    layer = make_layer(name, True, backend)
    state = some_state(layer, 2)
    x, lengths = torch.ones(2, frames, INPUT, dtype=torch.float64), torch.tensor([0, 0])
    y, final = layer(x, lengths, state)
    for each in (y, layer(x, lengths)[0]):
        assert each.shape == (2, frames, 2 * HIDDEN)
        assert not each.any()
    torch.testing.assert_close(final, state, rtol=0, atol=0)


def test_reversal_keeps_padding_in_place_and_undoes_itself():
    x = torch.tensor([[1, 2, 3], [4, 0, 0], [5, 6, 0]])[..., None]
    lengths = torch.tensor([3, 1, 2])
    expected = torch.tensor([[3, 2, 1], [4, 0, 0], [6, 5, 0]])[..., None]
    assert torch.equal(reverse_valid(x, lengths), expected)
    assert torch.equal(reverse_valid(expected, lengths), x)


# The table --------------------------------------------------------------------------------------


COUNTS = {  # for input 5 and hidden size 4, by hand: (parameters, multiply-accumulates per frame)
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
def test_counts(name):
    make = CELLS[name]
    assert (make.parameter_count(5, 4), make.macs_per_frame(5, 4)) == COUNTS[name]
    for size in [(5, 4), (1, 1), (40, 16)]:
        assert make.parameter_count(*size) == sum(p.numel() for p in make(*size).parameters())


@pytest.mark.parametrize("name", CELLS)
def test_a_cells_docstring_has_its_equations_and_parameter_count(name):
    text = CELLS[name].__doc__ or ""
    assert "h'" in text
    assert "Parameters" in text
    assert "gates" in CELLS[name].__dict__


@pytest.mark.parametrize("name", CELLS)
def test_first_values(name):
    """All weights are drawn from U(−1/√H, 1/√H) but those for which a paper gives a value."""
    torch.manual_seed(1)
    fixed = {"gain": 1, "gain_ih": 1, "gain_hh": 1, "gain_c": 1, "bias_c": 0}
    for tensor_name, tensor in CELLS[name](9, 64, forget_bias=0.0).named_parameters():
        if tensor_name in fixed:
            assert (tensor == fixed[tensor_name]).all()
        else:
            low = 0 if (name, tensor_name) == ("indrnn", "weight_hh") else -1 / 8
            high = 1 if low == 0 else 1 / 8
            assert low <= tensor.min() < 0.2 * high, tensor_name
            assert 0.8 * high < tensor.max() <= high, tensor_name


def kept_share(name, forget_bias):
    """Of a large memory after one frame of zeros: the forget gate as the step applies it."""
    torch.manual_seed(1)
    cell = CELLS[name](3, 2000, forget_bias)
    state = (*cell.initial_state(1)[:-1], torch.full((1, 2000), 1e6))
    if cell.states == 1:
        cell.weight_ih.data.mul_(0.01)
    x = torch.zeros(1, 1, 3)
    gates_x = cell.project(x, torch.ones(1, 1, dtype=torch.bool))[:, 0]
    return (cell.step(gates_x, state)[-1] / 1e6).mean().item()


@pytest.mark.parametrize(
    ("name", "share"),
    [("lstm", sigmoid), ("lstm_ln", sigmoid), ("cifg", sigmoid),
     ("minlstm", lambda a: sigmoid(a) / (sigmoid(a) + 0.5))],
)  # fmt: skip
@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 3.0, -1.0])
@torch.no_grad()
def test_a_forget_bias_sets_how_much_is_kept_at_first(name, share, forget_bias):
    assert kept_share(name, forget_bias) == pytest.approx(share(forget_bias), abs=0.02)


@pytest.mark.parametrize("name", CELLS)
def test_a_forget_bias_changes_no_draw_and_nothing_else(name):
    def weights(forget_bias):
        torch.manual_seed(1)
        cell = CELLS[name](9, 16, forget_bias)
        return {**dict(cell.named_parameters()), "next draw": torch.rand(3)}

    without, with_bias = weights(0.0), weights(1.0)
    changed = [key for key, value in without.items() if not torch.equal(value, with_bias[key])]
    assert changed == (["bias_ih"] if CELLS[name].forget_gate else [])
    if changed:
        moved = (with_bias["bias_ih"] - without["bias_ih"]).abs().chunk(CELLS[name].gates)
        assert sorted(part.sum().item() for part in moved)[:-1] == [0] * (len(moved) - 1)


@pytest.mark.parametrize("name", CELLS)
def test_the_same_seed_gives_the_same_weights_and_states_start_at_zero(name):
    one, other = make_layer(name, True), make_layer(name, True)
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)
    state = one.initial_state(3)
    assert len(state) == CELLS[name].states
    assert all(part.shape == (2, 3, HIDDEN) and not part.any() for part in state)


@pytest.mark.parametrize("name", CELLS)
def test_trains_and_is_saved_whole(name, tmp_path):
    """A tiny recogniser learns six utterances, and scores the same from its file."""
    torch.manual_seed(0)
    recipe = ModelRecipe(
        cell=name, layers=1, hidden_size=24, subsampling="stack", layer_norm=False, dropout=0.0
    )
    features = FeatureRecipe(normalise="utterance")
    config = ModelConfig(text=TextRecipe(), features=features, model=recipe)
    checkpoint = new_checkpoint(config, Vocabulary(("<blank>", "a", "b", "c")), {})
    model = checkpoint.model
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
    save_model(tmp_path / "model.safetensors", checkpoint)
    loaded = load_model(tmp_path / "model.safetensors").model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x, lengths)[0], model(x, lengths)[0])


def ctc_loss(model: RecurrentCTC, x, lengths, targets, target_lengths):
    log_probs, frames = model(x, lengths)
    return nn.functional.ctc_loss(log_probs.transpose(0, 1), targets, frames, target_lengths)
