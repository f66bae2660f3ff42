"""All contenders compute the same: otherwise their times mean nothing."""

import pytest
import torch

from benchmarks.layers import graph
from benchmarks.layers.case import Case
from benchmarks.layers.contenders import material, onnx_runtime, ours, theirs
from benchmarks.layers.rounds import difference, outcome
from speechgru import kernels

CELLS = ("gru", "lstm", "rnn")
needs_onnxruntime = pytest.mark.skipif(
    onnx_runtime(material(Case("forward", 2, 1, 1, 1), "gru"), 1) is None,
    reason="onnx and onnxruntime are not installed",
)


def forward(directions=2, batch=3, kind="forward"):
    return Case(kind, 5, batch, 6, directions, inputs=4)


def outcomes(*contenders):
    with torch.inference_mode():
        return [outcome(one) for one in contenders]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("case", [forward(1), forward(2), forward(1, kind="chunk")], ids=str)
def test_ours_is_torchs(cell, case):
    shared = material(case, cell)
    found, expected = outcomes(ours(shared), theirs(shared))
    assert found[0].shape == (case.batch, case.frames, case.directions * case.hidden)
    assert difference(found, expected, training=False) < 1e-5


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("directions", [1, 2])
def test_our_gradients_are_torchs_in_the_same_order(cell, directions):
    case = forward(directions, kind="training")
    shared = material(case, cell)
    found, expected = outcome(ours(shared)), outcome(theirs(shared))
    assert len(found) == 1 + 4 * case.layers * directions
    assert difference(found, expected, training=True) < 1e-4


@needs_onnxruntime
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("case", [forward(1), forward(2), forward(1, kind="chunk")], ids=str)
def test_the_graph_for_onnxruntime_is_torchs(cell, case):
    shared = material(case, cell)
    runtime = onnx_runtime(shared, threads=1)
    found, expected = outcomes(runtime, theirs(shared))
    assert difference(found, expected, training=False) < 1e-4


@needs_onnxruntime
@pytest.mark.parametrize(("cell", "order"), [("gru", (0, 1, 2)), ("lstm", (0, 1, 2, 3))])
def test_another_order_of_gates_would_be_seen(cell, order, monkeypatch):
    monkeypatch.setitem(graph.ORDER, cell, order)
    shared = material(forward(), cell)
    found, expected = outcomes(onnx_runtime(shared, threads=1), theirs(shared))
    assert difference(found, expected, training=False) > 1e-3


def test_onnxruntime_does_not_train_and_has_no_plain_cell_here():
    assert onnx_runtime(material(forward(kind="training"), "gru"), 1) is None
    assert onnx_runtime(material(forward(), "rnn"), 1) is None


def test_a_chunk_goes_on_from_the_state():
    """Two chunks of 3 are one call of 6 frames."""
    shared = material(Case("chunk", 5, 1, 3, 1, inputs=4), "gru")
    with torch.no_grad():
        twice = torch.cat([shared.x, shared.x], dim=1).transpose(0, 1)
        whole = shared.module(twice)[0].transpose(0, 1)
    (second,) = outcomes(ours(shared))
    torch.testing.assert_close(second[0], whole[:, 3:])


def test_shorter_weights_err_a_little():
    lent = [name for name in kernels.PRECISIONS[1:] if kernels.unsupported_reason(name) is None]
    if not lent:
        pytest.skip("no precision but float32 here")
    shared = material(Case("forward", 64, 1, 50, 2), "gru")
    for name in lent:
        contender = ours(shared, name)
        assert contender.name == f"ours {name} gru"
        found, expected = outcomes(contender, theirs(shared))
        assert 0 < difference(found, expected, training=False) < 0.02


def test_a_difference_is_the_largest_and_a_nan_is_infinite():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5])
    assert difference([a, a], [a, b], training=False) == 0.5
    assert difference([3 * a], [a], training=True) == pytest.approx(2.0)
    assert difference([a * float("nan")], [a], training=False) == float("inf")
