"""Every cell on every road: the equations in NumPy, torch.nn, one another; rows of all lengths."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speechgru.cells import CELLS, RecurrentLayer, cpu
from speechgru.cells.unroll import reverse_valid, valid_frames

INPUT, HIDDEN = 5, 7
LENGTHS = torch.tensor([6, 1, 4, 6, 3])
KERNELS = cpu.unavailable() is None
ROADS = ["unroll", "fused", *(["cpu"] if KERNELS else [])]
WAYS = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
# How far roads may differ: float32 sums in another order, over six steps.
CLOSE = {"atol": 2e-6, "rtol": 1e-5}


def make_layer(name: str, bidirectional: bool, road: str = "auto") -> RecurrentLayer:
    torch.manual_seed(1)
    layer = RecurrentLayer(CELLS[name], INPUT, HIDDEN, bidirectional).eval()
    layer.road = road  # type: ignore[assignment]
    return layer


def batch(garbage: float = 0.0) -> Tensor:
    """(5, 6, INPUT), with `garbage` where rows are padded."""
    torch.manual_seed(2)
    x = torch.randn(len(LENGTHS), int(LENGTHS.max()), INPUT)
    x[~valid_frames(LENGTHS, x.shape[1])] = garbage
    return x


def some_state(layer: RecurrentLayer) -> tuple[Tensor, ...]:
    torch.manual_seed(3)
    return tuple(torch.randn_like(part) for part in layer.initial_state(len(LENGTHS)))


# The equations, written once more and another way -------------------------------------------------


def sigma(a):
    return 1 / (1 + np.exp(-a))


def step_rnn(w, x, h):
    return (np.tanh(w["ih"] @ x + w["bi"] + w["hh"] @ h[0] + w["bh"]),)


def step_relu(w, x, h):
    return (np.maximum(0, w["ih"] @ x + w["bi"] + w["hh"] @ h[0] + w["bh"]),)


def step_gru(w, x, h):
    """Gates r, z, n one after the other; reset after the product."""
    (h,) = h
    gate = [slice(k * HIDDEN, (k + 1) * HIDDEN) for k in range(3)]
    inner = [w["ih"][g] @ x + w["bi"][g] for g in gate]
    outer = [w["hh"][g] @ h + w["bh"][g] for g in gate]
    r, z = sigma(inner[0] + outer[0]), sigma(inner[1] + outer[1])
    n = np.tanh(inner[2] + r * outer[2])
    return (n - z * n + z * h,)


def step_lstm(w, x, h):
    """Gates i, f, g, o one after the other."""
    h, c = h
    gate = [slice(k * HIDDEN, (k + 1) * HIDDEN) for k in range(4)]
    i, f, g, o = (w["ih"][k] @ x + w["bi"][k] + w["hh"][k] @ h + w["bh"][k] for k in gate)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


EQUATIONS = {"rnn": step_rnn, "rnn_relu": step_relu, "gru": step_gru, "lstm": step_lstm}


def by_hand(name: str, layer: RecurrentLayer, x: Tensor, state: tuple[Tensor, ...]):
    """(batch, frames, directions·H) and final states, a row and a frame at a time in float64."""
    y = np.zeros((*x.shape[:2], layer.output_size))
    final = [np.zeros(part.shape) for part in state]
    for direction, cell in enumerate(layer.directions):
        w = {
            short: getattr(cell, long).detach().double().numpy()
            for short, long in [
                ("ih", "weight_ih"), ("hh", "weight_hh"), ("bi", "bias_ih"), ("bh", "bias_hh"),
            ]
        }  # fmt: skip
        for row, length in enumerate(LENGTHS.tolist()):
            h = tuple(part[direction, row].double().numpy() for part in state)
            for t in range(length) if direction == 0 else range(length - 1, -1, -1):
                h = EQUATIONS[name](w, x[row, t].double().numpy(), h)
                y[row, t, direction * HIDDEN : (direction + 1) * HIDDEN] = h[0]
            for part, value in zip(final, h, strict=True):
                part[direction, row] = value
    return y, final


@WAYS
@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("name", EQUATIONS)
def test_a_layer_computes_its_equations(name, road, bidirectional):
    layer = make_layer(name, bidirectional, road)
    for state in (layer.initial_state(len(LENGTHS)), some_state(layer)):
        with torch.no_grad():
            y, final = layer(batch(garbage=50.0), LENGTHS, state)
        expected, ends = by_hand(name, layer, batch(), state)
        np.testing.assert_allclose(y.numpy(), expected, **CLOSE)
        for part, end in zip(final, ends, strict=True):
            np.testing.assert_allclose(part.numpy(), end, **CLOSE)


TORCH = {
    "rnn": (nn.RNN, {}), "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}), "lstm": (nn.LSTM, {}),
}  # fmt: skip


@WAYS
@pytest.mark.parametrize("road", ["auto", *ROADS])
@pytest.mark.parametrize("name", TORCH)
def test_a_layer_is_torch_s_with_its_weights_copied(name, road, bidirectional):
    layer = make_layer(name, bidirectional, road)
    kind, options = TORCH[name]
    theirs = kind(INPUT, HIDDEN, batch_first=True, bidirectional=bidirectional, **options)
    with torch.no_grad():
        for cell, suffix in zip(layer.directions, ["_l0", "_l0_reverse"], strict=False):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, part + suffix).copy_(getattr(cell, part))
        packed = nn.utils.rnn.pack_padded_sequence(
            batch(), LENGTHS, batch_first=True, enforce_sorted=False
        )
        expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
        y, none = layer(batch(garbage=50.0), LENGTHS)
    assert none is None
    torch.testing.assert_close(y, expected, **CLOSE)


# Roads against one another, for every cell in the table ------------------------------------------


@WAYS
@pytest.mark.parametrize("road", ["auto", *ROADS[1:]])
@pytest.mark.parametrize("name", CELLS)
def test_every_road_gives_the_same_numbers_states_and_gradients(name, road, bidirectional):
    results = []
    for each in ("unroll", road):
        layer = make_layer(name, bidirectional, each)
        x = batch().requires_grad_()
        state = tuple(part.requires_grad_() for part in some_state(layer))
        y, final = layer(x, LENGTHS, state)
        loss = (y * torch.linspace(-1, 1, y.shape[-1])).sum() + sum(p.square().sum() for p in final)
        gradients = torch.autograd.grad(loss, [x, *state, *layer.parameters()])
        results.append([y, *final, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, atol=2e-5, rtol=1e-4)


@WAYS
@pytest.mark.parametrize("road", ["auto", *ROADS[1:]])
@pytest.mark.parametrize("name", CELLS)
def test_without_a_state_the_roads_agree_too(name, road, bidirectional):
    results = []
    for each in ("unroll", road):
        layer = make_layer(name, bidirectional, each)
        y, none = layer(batch(), LENGTHS)
        assert none is None
        zeros = layer.initial_state(len(LENGTHS))
        torch.testing.assert_close(layer(batch(), LENGTHS, zeros)[0], y, **CLOSE)
        gradients = torch.autograd.grad(y.square().sum(), list(layer.parameters()))
        results.append([y, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, atol=2e-5, rtol=1e-4)


# Padding ----------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("road", ["auto", *ROADS])
@pytest.mark.parametrize("name", CELLS)
def test_padding_is_zero_on_the_way_out_and_never_looked_at(name, road, bidirectional):
    layer = make_layer(name, bidirectional, road)
    with torch.no_grad():
        clean, _ = layer(batch(), LENGTHS)
        dirty, _ = layer(batch(garbage=1e4), LENGTHS)
        assert torch.equal(dirty, clean)
        assert (clean[~valid_frames(LENGTHS, clean.shape[1])] == 0).all()
        for row, length in enumerate(LENGTHS.tolist()):
            alone, _ = layer(batch()[row : row + 1, :length], LENGTHS[row : row + 1])
            torch.testing.assert_close(clean[row : row + 1, :length], alone, **CLOSE)


@WAYS
@pytest.mark.parametrize("name", CELLS)
def test_no_gradient_reaches_padding(name, bidirectional):
    x = batch(garbage=3.0).requires_grad_()
    y, _ = make_layer(name, bidirectional)(x, LENGTHS)
    y.square().sum().backward()
    assert x.grad is not None
    padding = ~valid_frames(LENGTHS, x.shape[1])
    assert (x.grad[padding] == 0).all()
    assert (x.grad[~padding] != 0).any()


@WAYS
@pytest.mark.parametrize("name", CELLS)
def test_final_states_are_those_after_each_row_s_own_end(name, bidirectional):
    layer = make_layer(name, bidirectional)
    start = some_state(layer)
    with torch.no_grad():
        y, final = layer(batch(garbage=9.0), LENGTHS, start)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(final[0][0, row], y[row, length - 1, :HIDDEN], **CLOSE)
        if bidirectional:
            torch.testing.assert_close(final[0][1, row], y[row, 0, HIDDEN:], **CLOSE)


@pytest.mark.parametrize("road", ["auto", *ROADS])
@pytest.mark.parametrize("name", CELLS)
def test_chunk_after_chunk_equals_one_call(name, road):
    layer = make_layer(name, False, road)
    start = some_state(layer)
    with torch.no_grad():
        whole, end = layer(batch(), LENGTHS, start)
        parts, state = [], start
        for first, last in [(0, 1), (1, 3), (3, 6)]:
            rest = (LENGTHS - first).clamp(0, last - first)
            y, state = layer(batch()[:, first:last], rest, state)
            parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **CLOSE)
    for one, other in zip(state, end, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


# The table --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (40, 16)])
@pytest.mark.parametrize("name", CELLS)
def test_the_formula_counts_the_parameters(name, size):
    cell = CELLS[name](*size)
    assert CELLS[name].parameter_count(*size) == sum(p.numel() for p in cell.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_tells_its_equations_and_its_source(name):
    text = CELLS[name].__doc__ or ""
    assert "h'" in text
    assert "Parameters" in text
    assert "gates" in CELLS[name].__dict__


@pytest.mark.parametrize("name", CELLS)
def test_the_same_seed_gives_the_same_weights_and_states_start_at_zero(name):
    one, other = make_layer(name, True), make_layer(name, True)
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)
    state = one.initial_state(3)
    assert len(state) == CELLS[name].states
    assert all(part.shape == (2, 3, HIDDEN) and not part.any() for part in state)


def test_reversal_keeps_padding_in_place_and_undoes_itself():
    x = torch.tensor([[1, 2, 3], [4, 0, 0], [5, 6, 0]])[..., None]
    lengths = torch.tensor([3, 1, 2])
    expected = torch.tensor([[3, 2, 1], [4, 0, 0], [6, 5, 0]])[..., None]
    assert torch.equal(reverse_valid(x, lengths), expected)
    assert torch.equal(reverse_valid(expected, lengths), x)


@pytest.mark.skipif(not KERNELS, reason="no CPU kernels on this machine")
def test_the_compiled_kernels_are_what_auto_takes(monkeypatch):
    def never(*_):
        raise AssertionError("the library's road was taken")

    for name in cpu.KINDS:
        monkeypatch.setattr(CELLS[name], "fused", never)
        monkeypatch.setattr(CELLS[name], "step", never)
        make_layer(name, True)(batch(), LENGTHS)


def test_switched_off_the_kernels_are_left_alone(monkeypatch):
    monkeypatch.setenv("SPEECHGRU_CPU_KERNELS", "0")
    cpu.unavailable.cache_clear()
    try:
        layer = make_layer("gru", True)
        expected = make_layer("gru", True, "fused")(batch(), LENGTHS)[0]
        assert torch.equal(layer(batch(), LENGTHS)[0], expected)
    finally:
        monkeypatch.undo()
        cpu.unavailable.cache_clear()
