"""The CPU kernels against torch.nn, one utterance at a time: the same numbers and gradients."""

import copy
import pickle
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechgru import kernels
from speechgru.cells.cifg import CIFG

pytestmark = pytest.mark.skipif(
    kernels.unavailable() is not None, reason=f"no CPU kernels here: {kernels.unavailable()}"
)
KINDS = ("rnn", "rnn_relu", "gru", "lstm", "cifg")
STATES = {"rnn": 1, "rnn_relu": 1, "gru": 1, "lstm": 2, "cifg": 2}


def reference(kind, inputs, hidden, directions, dtype=torch.float32):
    """torch.nn's layer and its weights, as a kernel takes them."""
    if kind == "cifg":
        return coupled(inputs, hidden, directions, dtype)
    make = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}.get(kind, torch.nn.RNN)
    extra = {"nonlinearity": "relu"} if kind == "rnn_relu" else {}
    layer = make(inputs, hidden, bidirectional=directions == 2, batch_first=True, **extra)
    layer = layer.to(dtype)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = [
        tuple(getattr(layer, f"{name}_l0{suffix}") for name in names)
        for suffix in ("", "_reverse")[:directions]
    ]
    return layer, weights


def coupled(inputs, hidden, directions, dtype):
    """torch's LSTM called with a forget gate that is what the input gate leaves: σ(-a)."""
    cells = [CIFG(inputs, hidden).to(dtype) for _ in range(directions)]
    weights = [tuple(cell.weights()) for cell in cells]

    def layer(x, state):
        flat = []
        for weight in (w for direction in weights for w in direction):
            i, g, o = weight.chunk(3)
            flat.append(torch.cat([i, -i, g, o]))
        two_way = directions == 2
        y, h, c = torch.lstm(x, state, flat, True, 1, 0.0, False, two_way, True)
        return y, (h, c)

    return layer, weights


def alone(kind, layer, x, lengths, state):
    """Every utterance on its own through torch.nn, cut to its length; then padded with zeros."""
    outputs, finals = [], []
    for b, length in enumerate(lengths.tolist()):
        first = tuple(s[:, b : b + 1] for s in state)
        if length == 0:
            outputs.append(x.new_zeros(1, x.shape[1], state[0].shape[0] * state[0].shape[2]))
            finals.append(first)
            continue
        y, last = layer(x[b : b + 1, :length], first if STATES[kind] == 2 else first[0])
        outputs.append(torch.nn.functional.pad(y, (0, 0, 0, x.shape[1] - length)))
        finals.append(last if STATES[kind] == 2 else (last,))
    return torch.cat(outputs), tuple(torch.cat(s, 1) for s in zip(*finals, strict=True))


@st.composite
def cases(draw):
    batch = draw(st.integers(1, 20))
    frames = draw(st.integers(1, 12))
    same = draw(st.booleans())
    lengths = (
        [frames] * batch
        if same
        else draw(st.lists(st.integers(0, frames), min_size=batch, max_size=batch))
    )
    return {
        "lengths": torch.tensor(lengths),
        "frames": frames,
        "inputs": draw(st.sampled_from([1, 3, 20])),
        "hidden": draw(st.sampled_from([1, 7, 16, 37, 64, 80])),
        "directions": draw(st.sampled_from([1, 2])),
        "with_state": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
        "strides": draw(st.sampled_from(["plain", "transposed", "wider", "expanded"])),
        "seed": draw(st.integers(0, 99)),
    }


def one_case(lengths, **changes):
    usual = {"inputs": 3, "hidden": 7, "directions": 2, "with_state": False, "seed": 1}
    return usual | {"lengths": torch.tensor(lengths), "frames": max(lengths)} | changes


def laid(batch, frames, inputs, dtype, strides):
    """An input in memory as a caller may have it."""
    if strides == "transposed":
        return torch.randn(batch, inputs, frames, dtype=dtype).transpose(1, 2)
    if strides == "wider":
        return torch.randn(batch, frames, inputs + 3, dtype=dtype)[:, :, 1 : inputs + 1]
    if strides == "expanded":
        return torch.randn(batch, frames, 1, dtype=dtype).expand(batch, frames, inputs)
    return torch.randn(batch, frames, inputs, dtype=dtype)


def problem(case, kind):
    torch.manual_seed(case["seed"])
    batch, dtype = len(case["lengths"]), case.get("dtype", torch.float32)
    layer, weights = reference(kind, case["inputs"], case["hidden"], case["directions"], dtype)
    strides = case.get("strides", "plain")
    x = laid(batch, case["frames"], case["inputs"], dtype, strides).requires_grad_()
    size = (case["directions"], batch, case["hidden"])
    make = torch.randn if case["with_state"] else torch.zeros
    state = tuple(make(size, dtype=dtype, requires_grad=True) for _ in range(STATES[kind]))
    return layer, weights, x, state


many = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def assert_torchs(kind, case):
    """Outputs, final states and the gradients of every argument; these relative to their norm."""
    layer, weights, x, state = problem(case, kind)
    y, final = kernels.Kernel(kind)(x, case["lengths"], weights, state)
    expected, expected_final = alone(kind, layer, x, case["lengths"], state)
    torch.testing.assert_close((y, *final), (expected, *expected_final), rtol=0, atol=1e-5)
    if not case["lengths"].any():
        return

    wanted = [x, *state, *(w for direction in weights for w in direction)]
    upstream = [torch.randn_like(t) for t in (y, *final)]
    grads = torch.autograd.grad((y, *final), wanted, upstream)
    expected_grads = torch.autograd.grad((expected, *expected_final), wanted, upstream)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm() + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@many
@given(cases())
def test_outputs_and_gradients_are_torchs(kind, case):
    assert_torchs(kind, case)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_more_frames_than_a_product_takes_at_a_time_are_torchs(kind, dtype):
    """Gradients of weights are summed 512 frames at a time, here in three parts, the last one
    short; inputs of 120 values are multiplied at most 544 frames (272 in float64) at a time."""
    assert_torchs(kind, one_case([700, 613], inputs=120, hidden=37, with_state=True, dtype=dtype))


@pytest.mark.parametrize("kind", KINDS)
@many
@given(cases())
def test_inference_equals_training(kind, case):
    _, weights, x, state = problem(case, kind)
    kernel = kernels.Kernel(kind)
    with_grad = kernel(x, case["lengths"], weights, state)
    with torch.inference_mode():
        without = kernel(x.detach(), case["lengths"], weights, tuple(s.detach() for s in state))
    torch.testing.assert_close(without, with_grad, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_every_argument_check_numerically(kind):
    case = one_case([4, 0, 2], hidden=5, with_state=True, dtype=torch.float64)
    _, weights, x, state = problem(case, kind)
    kernel = kernels.Kernel(kind)

    def run(x, *rest):
        state, flat = rest[: STATES[kind]], rest[STATES[kind] :]
        y, final = kernel(x, case["lengths"], [flat[:4], flat[4:]], state)
        return y, *final

    flat = [w.detach().requires_grad_() for direction in weights for w in direction]
    assert torch.autograd.gradcheck(run, (x, *state, *flat))


def test_a_second_backward_pass_gives_the_same_gradients():
    case = one_case([5, 3])
    _, weights, x, state = problem(case, "gru")
    y, _ = kernels.Kernel("gru")(x, case["lengths"], weights, state)
    once = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert torch.equal(once[0], torch.autograd.grad(y.sum(), x)[0])


def weights_and_input():
    case = one_case([5], directions=1)
    _, weights, x, _ = problem(case, "gru")
    return weights, x.detach(), case["lengths"]


def test_packed_weights_follow_every_change():
    weights, x, lengths = weights_and_input()
    kernel = kernels.Kernel("gru")

    def fresh() -> Tensor:
        return kernels.Kernel("gru")(x, lengths, weights)[0]

    with torch.no_grad():
        before = kernel(x, lengths, weights)[0]
        weights[0][1].mul_(0.5)  # as an optimiser does
        after = kernel(x, lengths, weights)[0]
        assert not torch.equal(before, after)
        assert torch.equal(after, fresh())
        weights[0] = (*weights[0][:2], torch.ones_like(weights[0][2]), weights[0][3])
        assert torch.equal(kernel(x, lengths, weights)[0], fresh())
    with torch.inference_mode():  # whose tensors count no versions
        weights[0] = tuple(w.clone() for w in weights[0])
        kernel(x, lengths, weights)
        weights[0][1].mul_(0.5)
        assert torch.equal(kernel(x, lengths, weights)[0], fresh())


@pytest.mark.parametrize("fused", [False, True])
def test_packed_weights_follow_an_optimiser(fused):
    weights, x, lengths = weights_and_input()
    kernel = kernels.Kernel("gru")
    optimiser = torch.optim.AdamW(weights[0], lr=0.1, fused=fused)
    with torch.no_grad():
        before = kernel(x, lengths, weights)[0]
    loss = kernel(x, lengths, weights)[0].sum()
    with torch.no_grad():  # packs again, between the forward pass and the step
        kernel(x, lengths, weights)
    loss.backward()
    optimiser.step()
    with torch.no_grad():
        after = kernel(x, lengths, weights)[0]
        assert not torch.equal(before, after)
        assert torch.equal(after, kernels.Kernel("gru")(x, lengths, weights)[0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda k: pickle.loads(pickle.dumps(k))])
def test_a_kernel_can_be_copied(copied):
    weights, x, lengths = weights_and_input()
    kernel = kernels.Kernel("gru")
    with torch.no_grad():
        expected = kernel(x, lengths, weights)[0]
        assert torch.equal(copied(kernel)(x, lengths, weights)[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_nan_is_not_hidden(kind):
    _, weights = reference(kind, 3, 7, 1)
    x = torch.zeros(1, 4, 3)
    x[0, 1, 0] = float("nan")
    with torch.no_grad():
        y, _ = kernels.Kernel(kind)(x, torch.tensor([4]), weights)
    assert y[0, 0].isfinite().all()
    assert y[0, 1:].isnan().all()


def test_an_empty_batch_and_no_frames():
    _, weights = reference("gru", 3, 7, 2)
    for batch, frames in ((0, 5), (2, 0)):
        x = torch.zeros(batch, frames, 3)
        lengths = torch.full((batch,), frames)
        y, (h,) = kernels.Kernel("gru")(x, lengths, weights)
        assert y.shape == (batch, frames, 14)
        assert h.shape == (2, batch, 7)
        assert not h.any()


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'elman'.*rnn, rnn_relu, gru, lstm, cifg"):
        kernels.Kernel("elman")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": torch.zeros(2, 5)}, "expected (batch, frames, values)"),
        ({"x": torch.zeros(2, 5, 4)}, "beside input (2, 5, 4)"),
        ({"x": torch.zeros(2, 5, 3, dtype=torch.float64)}, "of torch.float64"),
        ({"lengths": torch.tensor([5])}, "expected 2 int64"),
        ({"lengths": torch.tensor([5, 5, 5])}, "expected 2 int64"),
        ({"lengths": torch.tensor([5, 5], dtype=torch.int32)}, "expected 2 int64"),
        ({"lengths": torch.tensor([6, 5])}, "expected 0 to 5 frames"),
        ({"lengths": torch.tensor([-1, 5])}, "expected 0 to 5 frames"),
        ({"state": (torch.zeros(1, 1, 7),)}, "expected (1, 2, 7)"),
        ({"state": (torch.zeros(1, 2, 7),) * 2}, "2 states; gru has 1"),
    ],
)
def test_what_does_not_fit_is_refused_before_an_address_is_used(change, words):
    _, weights = reference("gru", 3, 7, 1)
    given = {"x": torch.zeros(2, 5, 3), "lengths": torch.tensor([5, 4]), "weights": weights}
    with pytest.raises(ValueError, match=re.escape(words)):
        kernels.Kernel("gru")(**(given | change))


def test_a_weight_elsewhere_is_refused():
    _, weights = reference("gru", 3, 7, 1)
    elsewhere = [tuple(w.to("meta") for w in weights[0])]
    with pytest.raises(ValueError, match="on meta"):
        kernels.Kernel("gru")(torch.zeros(2, 5, 3), torch.tensor([5, 4]), elsewhere)
