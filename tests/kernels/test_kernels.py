"""The CPU kernels against torch.nn, one utterance at a time: the same numbers and gradients."""

import copy
import pickle
import re
import weakref

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechgru import kernels
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.cells.cifg import CIFG
from speechgru.kernels import buffers
from speechgru.kernels import kernel as kernel_module

pytestmark = pytest.mark.skipif(
    kernels.unsupported_reason() is not None,
    reason=f"no CPU kernels here: {kernels.unsupported_reason()}",
)
STATES = {"rnn": 1, "rnn_relu": 1, "gru": 1, "lstm": 2, "cifg": 2}


def reference(cell, inputs, hidden, directions, dtype=torch.float32):
    """torch.nn's layer and its weights, as a kernel takes them."""
    if cell == "cifg":
        return coupled(inputs, hidden, directions, dtype)
    make = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}.get(cell, torch.nn.RNN)
    extra = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
    layer = make(inputs, hidden, bidirectional=directions == 2, batch_first=True, **extra)
    layer = layer.to(dtype)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = [
        tuple(getattr(layer, f"{name}_l0{suffix}") for name in names)
        for suffix in ("", "_reverse")[:directions]
    ]
    return layer, weights


def coupled(inputs, hidden, directions, dtype):
    """torch's LSTM with one minus the input gate as its forget gate: σ(-a)."""
    cells = [CIFG(inputs, hidden).to(dtype) for _ in range(directions)]
    weights = [tuple(cell.weights()) for cell in cells]

    def layer(x, state):
        flat = []
        for weight in (w for direction in weights for w in direction):
            i, g, o = weight.chunk(3)
            flat.append(torch.cat([i, -i, g, o]))
        y, h, c = torch.lstm(x, state, flat, True, 1, 0.0, False, directions == 2, True)
        return y, (h, c)

    return layer, weights


def alone(cell, layer, x, lengths, state):
    """Every utterance on its own through torch.nn, cut to its length; then padded with zeros."""
    outputs, finals = [], []
    for b, length in enumerate(lengths.tolist()):
        first = tuple(s[:, b : b + 1] for s in state)
        if length == 0:
            outputs.append(x.new_zeros(1, x.shape[1], state[0].shape[0] * state[0].shape[2]))
            finals.append(first)
            continue
        y, last = layer(x[b : b + 1, :length], first if STATES[cell] == 2 else first[0])
        outputs.append(torch.nn.functional.pad(y, (0, 0, 0, x.shape[1] - length)))
        finals.append(last if STATES[cell] == 2 else (last,))
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


def make_input(batch, frames, inputs, dtype, strides):
    """An input with the strides that a caller may have."""
    if strides == "transposed":
        return torch.randn(batch, inputs, frames, dtype=dtype).transpose(1, 2)
    if strides == "wider":
        return torch.randn(batch, frames, inputs + 3, dtype=dtype)[:, :, 1 : inputs + 1]
    if strides == "expanded":
        return torch.randn(batch, frames, 1, dtype=dtype).expand(batch, frames, inputs)
    return torch.randn(batch, frames, inputs, dtype=dtype)


def problem(case, cell):
    torch.manual_seed(case["seed"])
    batch, dtype = len(case["lengths"]), case.get("dtype", torch.float32)
    layer, weights = reference(cell, case["inputs"], case["hidden"], case["directions"], dtype)
    strides = case.get("strides", "plain")
    x = make_input(batch, case["frames"], case["inputs"], dtype, strides).requires_grad_()
    size = (case["directions"], batch, case["hidden"])
    make = torch.randn if case["with_state"] else torch.zeros
    state = tuple(make(size, dtype=dtype, requires_grad=True) for _ in range(STATES[cell]))
    return layer, weights, x, state


many = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def assert_equals_torch(cell, case):
    """Outputs, final states and the gradients of every argument; these relative to their norm."""
    layer, weights, x, state = problem(case, cell)
    y, final = kernels.Kernel(cell)(x, case["lengths"], weights, state)
    expected, expected_final = alone(cell, layer, x, case["lengths"], state)
    torch.testing.assert_close((y, *final), (expected, *expected_final), rtol=0, atol=1e-5)
    if not case["lengths"].any():
        return

    wanted = [x, *state, *(w for direction in weights for w in direction)]
    upstream = [torch.randn_like(t) for t in (y, *final)]
    grads = torch.autograd.grad((y, *final), wanted, upstream)
    expected_grads = torch.autograd.grad((expected, *expected_final), wanted, upstream)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm() + 1e-6


@pytest.mark.parametrize("cell", kernels.SUPPORTED_CELLS)
@many
@given(cases())
def test_outputs_and_gradients_equal_torchs(cell, case):
    assert_equals_torch(cell, case)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_more_frames_than_one_chunk_of_a_product_equal_torchs(cell, dtype):
    """Gradients of weights are summed 512 frames at a time, here in three parts, the last one
    short; inputs of 120 values are multiplied at most 544 frames (272 in float64) at a time."""
    assert_equals_torch(
        cell, one_case([700, 613], inputs=120, hidden=37, with_state=True, dtype=dtype)
    )


@pytest.mark.parametrize("cell", kernels.SUPPORTED_CELLS)
@many
@given(cases())
def test_inference_equals_training(cell, case):
    _, weights, x, state = problem(case, cell)
    kernel = kernels.Kernel(cell)
    with_grad = kernel(x, case["lengths"], weights, state)
    with torch.inference_mode():
        without = kernel(x.detach(), case["lengths"], weights, tuple(s.detach() for s in state))
    torch.testing.assert_close(without, with_grad, rtol=0, atol=0)


@pytest.mark.parametrize("cell", kernels.SUPPORTED_CELLS)
def test_gradients_of_every_argument_check_numerically(cell):
    case = one_case([4, 0, 2], hidden=5, with_state=True, dtype=torch.float64)
    _, weights, x, state = problem(case, cell)
    kernel = kernels.Kernel(cell)

    def run(x, *rest):
        state, flat = rest[: STATES[cell]], rest[STATES[cell] :]
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


def change_through_data(weight):
    weight.data.mul_(0.5)  # as averaging of weights does


def change_counted(weight):
    weight.mul_(0.5)


def change_one_number_through_numpy(weight):
    weight.detach().numpy().reshape(-1)[-1] += 1e-3


def change_a_sign(weight):
    weight.data.view(-1)[0].neg_()


def swap_two_rows(weight):
    weight.data.copy_(weight.data.flip(0))


@pytest.mark.parametrize(
    "change",
    [change_through_data, change_counted, change_one_number_through_numpy, change_a_sign,
     swap_two_rows],
)  # fmt: skip
@pytest.mark.parametrize("number", range(4), ids=["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_weights_changed_in_place_are_never_stale(number, change):
    weights, x, lengths = weights_and_input()
    kernel = kernels.Kernel("gru")
    with torch.no_grad():
        before = kernel(x, lengths, weights)[0]
        change(weights[0][number])
        after = kernel(x, lengths, weights)[0]
        assert not torch.equal(before, after)
        assert torch.equal(after, kernels.Kernel("gru")(x, lengths, weights)[0])


def test_replaced_weights_and_inference_tensors_are_never_stale():
    weights, x, lengths = weights_and_input()
    kernel = kernels.Kernel("gru")

    def fresh():
        return kernels.Kernel("gru")(x, lengths, weights)[0]

    with torch.inference_mode():
        kernel(x, lengths, weights)
        weights[0] = (*weights[0][:2], torch.ones_like(weights[0][2]), weights[0][3])
        assert torch.equal(kernel(x, lengths, weights)[0], fresh())
        weights[0][2].mul_(0.5)  # an inference tensor has no version counter
        assert torch.equal(kernel(x, lengths, weights)[0], fresh())
        weights.append(weights[0])  # another number of directions
        assert torch.equal(kernel(x, lengths, weights)[0], fresh())


def test_unchanged_weights_are_packed_once(monkeypatch):
    weights, x, lengths = weights_and_input()
    weights[0][0].data[0, 0] = float("nan")  # which equals itself here
    packed = []
    real = kernel_module.pack_copies
    monkeypatch.setattr(
        kernel_module, "pack_copies", lambda *given: packed.append(1) or real(*given)
    )
    kernel = kernels.Kernel("gru")
    with torch.inference_mode():
        for _ in range(3):
            kernel(x, lengths, weights)
        strided = [tuple(w.t().contiguous().t() if w.dim() == 2 else w for w in weights[0])]
        kernel(x, lengths, strided)  # the same values with other strides
    assert len(packed) == 1


def test_frozen_parameters_are_never_stale():
    given, x, lengths = weights_and_input()
    weights = [tuple(torch.nn.Parameter(w.detach(), requires_grad=False) for w in given[0])]
    kernel = kernels.Kernel("gru")

    def fresh():
        return kernels.Kernel("gru")(x, lengths, weights)[0]

    with torch.inference_mode():
        kernel(x, lengths, weights)
        weights[0][1].data.mul_(0.5)
        assert torch.equal(kernel(x, lengths, weights)[0], fresh())
    weights[0][1].mul_(0.5)
    assert torch.equal(kernel(x, lengths, weights)[0], fresh())
    weights[0][1].data = 2 * weights[0][1].data
    assert torch.equal(kernel(x, lengths, weights)[0], fresh())
    new = torch.nn.Parameter(3 * weights[0][1], requires_grad=False)
    weights[0] = (weights[0][0], new, *weights[0][2:])
    assert torch.equal(kernel(x, lengths, weights)[0], fresh())
    for weight in weights[0]:
        weight.requires_grad_()
    weights[0][1].data.mul_(0.5)
    with torch.no_grad():
        assert torch.equal(kernel(x, lengths, weights)[0], fresh())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cell", kernels.SUPPORTED_CELLS)
def test_prepared_chunks_equal_other_calls_bit_for_bit(cell, dtype):
    torch.manual_seed(1)
    layer = RecurrentLayer(CELLS[cell], 7, 21, bidirectional=False).to(dtype)
    frozen = copy.deepcopy(layer).requires_grad_(False)
    state = ours = layer.initial_state(1)
    with torch.inference_mode():
        for frames in (1, 2, 5, 5, 64, 65, 2):
            x = torch.randn(1, frames, 7, dtype=dtype)
            expected, state = layer(x, torch.tensor([frames]), state)
            y, ours = frozen(x, torch.tensor([frames]), ours)
            assert torch.equal(y, expected)
            assert all(map(torch.equal, ours, state))
    assert frozen._kernel._chunks.by_length.keys() == {2, 5, 64}


def test_prepared_chunks_of_other_strides():
    torch.manual_seed(1)
    layer = RecurrentLayer(CELLS["gru"], 7, 21, bidirectional=False).requires_grad_(False)
    lengths, state, wide = torch.tensor([5]), layer.initial_state(1), torch.randn(1, 5, 20)
    for x in (wide[..., :7], wide[..., ::3], wide[:, :, 1:8], torch.randn(1, 7, 5).transpose(1, 2)):
        expected = copy.deepcopy(layer).requires_grad_()(x.contiguous(), lengths, state)[0]
        assert all(torch.equal(layer(x, lengths, state)[0], expected) for _ in range(3))


def test_a_second_derivative_is_refused_not_wrong():
    layer = RecurrentLayer(CELLS["gru"], 4, 5, bidirectional=False)
    x = torch.randn(2, 6, 4, requires_grad=True)
    y, _ = layer(x, torch.tensor([6, 6]))
    with pytest.raises(RuntimeError, match="second derivatives"):
        torch.autograd.grad(y.sum(), x, create_graph=True)


def test_prepared_chunks_are_not_used_after_a_change():
    torch.manual_seed(1)
    layer = RecurrentLayer(CELLS["gru"], 7, 21, bidirectional=False).requires_grad_(False)
    x, lengths, state = torch.randn(1, 5, 7), torch.tensor([5]), layer.initial_state(1)
    before = [layer(x, lengths, state)[0] for _ in range(3)][-1]
    layer.directions[0].weight_hh.mul_(0.5)
    changed = layer(x, lengths, state)[0]
    assert not torch.equal(changed, before)
    layer.requires_grad_()
    assert layer(x, lengths, state)[0].requires_grad
    layer.directions[0].weight_hh.data.mul_(2)
    with torch.no_grad():
        assert torch.equal(layer(x, lengths, state)[0], before)
    layer.requires_grad_(False)
    assert layer(x.clone().requires_grad_(), lengths, state)[0].requires_grad


@pytest.mark.parametrize("fused", [False, True])
def test_weights_changed_by_an_optimiser_are_never_stale(fused):
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


def test_importing_the_package_leaves_the_optimisers_of_the_process_alone():
    """No hook is registered on every optimiser."""
    import torch.optim.optimizer as optimizer

    assert not optimizer._global_optimizer_post_hooks
    assert not optimizer._global_optimizer_pre_hooks


def test_buffers_can_be_released():
    kernels.release_buffers()
    tensor = buffers.take((1 << 20,), torch.float32)
    address = tensor.data_ptr()
    buffers.give(tensor)
    assert buffers.take((1 << 20,), torch.float32).data_ptr() == address  # reused
    buffers.give(tensor)
    kept = weakref.ref(buffers._free[0])
    del tensor
    kernels.release_buffers()
    assert not buffers._free
    assert kept() is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda k: pickle.loads(pickle.dumps(k))])
def test_a_kernel_can_be_copied(copied):
    weights, x, lengths = weights_and_input()
    kernel = kernels.Kernel("gru")
    with torch.no_grad():
        expected = kernel(x, lengths, weights)[0]
        assert torch.equal(copied(kernel)(x, lengths, weights)[0], expected)


@pytest.mark.parametrize("cell", kernels.SUPPORTED_CELLS)
def test_a_nan_is_not_hidden(cell):
    _, weights = reference(cell, 3, 7, 1)
    x = torch.zeros(1, 4, 3)
    x[0, 1, 0] = float("nan")
    with torch.no_grad():
        y, _ = kernels.Kernel(cell)(x, torch.tensor([4]), weights)
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


def test_an_unknown_cell_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'elman'.*rnn, rnn_relu, gru, lstm, cifg"):
        kernels.Kernel("elman")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"x": torch.zeros(2, 5)}, "(2, 5)"),
        ({"x": torch.zeros(2, 5, 4)}, "(2, 5, 4)"),
        ({"x": torch.zeros(2, 5, 3, dtype=torch.float64)}, "torch.float64"),
        ({"lengths": torch.tensor([5])}, "(1,)"),
        ({"lengths": torch.tensor([5, 5, 5])}, "(3,)"),
        ({"lengths": torch.tensor([5, 5], dtype=torch.int32)}, "torch.int32"),
        ({"lengths": torch.tensor([6, 5])}, "[6, 5]"),
        ({"lengths": torch.tensor([-1, 5])}, "[-1, 5]"),
        ({"state": (torch.zeros(1, 1, 7),)}, "(1, 1, 7)"),
        ({"state": (torch.zeros(1, 2, 7),) * 2}, "2 state tensors"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_an_address_is_used(change, named):
    _, weights = reference("gru", 3, 7, 1)
    given = {"x": torch.zeros(2, 5, 3), "lengths": torch.tensor([5, 4]), "weights": weights}
    with pytest.raises(ValueError, match=re.escape(named)):
        kernels.Kernel("gru")(**(given | change))


def test_a_weight_on_another_device_is_refused():
    _, weights = reference("gru", 3, 7, 1)
    elsewhere = [tuple(w.to("meta") for w in weights[0])]
    with pytest.raises(ValueError, match="on meta"):
        kernels.Kernel("gru")(torch.zeros(2, 5, 3), torch.tensor([5, 4]), elsewhere)
