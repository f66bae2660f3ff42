"""All contenders compute the same."""

import pytest
import torch

from benchmarks.layers import graph
from benchmarks.layers.case import Case
from benchmarks.layers.contenders import onnx_runtime, ours, torch_nn, workload
from benchmarks.layers.rounds import difference, outcome
from speechgru import kernels

CELLS = ("gru", "lstm", "rnn")
needs_onnxruntime = pytest.mark.skipif(
    onnx_runtime(workload(Case("forward", 2, 1, 1, 1), "gru"), 1) is None,
    reason="onnx and onnxruntime are not installed",
)


def forward(directions=2, batch=3, kind="forward"):
    return Case(kind, 5, batch, 6, directions, inputs=4)


def outcomes(*contenders):
    with torch.inference_mode():
        return [outcome(one) for one in contenders]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("case", [forward(1), forward(2), forward(1, kind="chunk")], ids=str)
def test_ours_equals_torchs(cell, case):
    shared = workload(case, cell)
    found, expected = outcomes(ours(shared), torch_nn(shared))
    assert found[0].shape == (case.batch, case.frames, case.directions * case.hidden)
    assert difference(found, expected, training=False) < 1e-5


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("directions", [1, 2])
def test_our_gradients_equal_torchs_in_the_same_order(cell, directions):
    case = forward(directions, kind="training")
    shared = workload(case, cell)
    found, expected = outcome(ours(shared)), outcome(torch_nn(shared))
    assert len(found) == 1 + 4 * case.layers * directions
    assert difference(found, expected, training=True) < 1e-4


@needs_onnxruntime
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("case", [forward(1), forward(2), forward(1, kind="chunk")], ids=str)
def test_the_onnx_graph_equals_torchs_layer(cell, case):
    shared = workload(case, cell)
    runtime = onnx_runtime(shared, threads=1)
    found, expected = outcomes(runtime, torch_nn(shared))
    assert difference(found, expected, training=False) < 1e-4


@needs_onnxruntime
@pytest.mark.parametrize(("cell", "order"), [("gru", (0, 1, 2)), ("lstm", (0, 1, 2, 3))])
def test_another_order_of_gates_is_detected(cell, order, monkeypatch):
    monkeypatch.setitem(graph.ORDER, cell, order)
    shared = workload(forward(), cell)
    found, expected = outcomes(onnx_runtime(shared, threads=1), torch_nn(shared))
    assert difference(found, expected, training=False) > 1e-3


def test_onnxruntime_neither_trains_nor_has_an_rnn_here():
    assert onnx_runtime(workload(forward(kind="training"), "gru"), 1) is None
    assert onnx_runtime(workload(forward(), "rnn"), 1) is None


def test_a_chunk_continues_from_the_state():
    """Two chunks of 3 are one call of 6 frames."""
    shared = workload(Case("chunk", 5, 1, 3, 1, inputs=4), "gru")
    with torch.no_grad():
        twice = torch.cat([shared.x, shared.x], dim=1).transpose(0, 1)
        whole = shared.module(twice)[0].transpose(0, 1)
    (second,) = outcomes(ours(shared))
    torch.testing.assert_close(second[0], whole[:, 3:])


def test_reduced_precision_has_a_small_error():
    reduced = [name for name in kernels.PRECISIONS[1:] if kernels.unsupported_reason(name) is None]
    if not reduced:
        pytest.skip("no precision but float32 here")
    shared = workload(Case("forward", 64, 1, 50, 2), "gru")
    for name in reduced:
        contender = ours(shared, name)
        assert contender.name == f"ours {name} gru"
        found, expected = outcomes(contender, torch_nn(shared))
        assert 0 < difference(found, expected, training=False) < 0.02


def test_a_difference_is_the_largest_and_a_nan_is_infinite():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5])
    assert difference([a, a], [a, b], training=False) == 0.5
    assert difference([3 * a], [a], training=True) == pytest.approx(2.0)
    assert difference([a * float("nan")], [a], training=False) == float("inf")
