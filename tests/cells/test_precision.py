"""Reduced precision is used where it is faster."""

import pytest
import torch

from speechgru import kernels
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.cells import precision as precision_module
from speechgru.cells.precision import use_precision


@pytest.fixture
def layers(monkeypatch):
    monkeypatch.setattr(precision_module, "_ratios", {})
    return [RecurrentLayer(CELLS["gru"], columns, 8, True) for columns in (3, 16)]


@pytest.mark.parametrize(
    ("ratios", "used"),
    [((0.5, 0.9), "bfloat16"), ((0.5, 1.2), "float32"), ((1.1, 0.6), "float32")],
)
def test_the_faster_precision_is_used_and_a_fallback_named_once(
    monkeypatch, caplog, layers, ratios, used
):
    found = iter(ratios)
    monkeypatch.setattr(kernels, "unsupported_reason", lambda name="float32": None)
    monkeypatch.setattr(precision_module, "time_ratio", lambda *_: next(found))
    for _ in range(2):  # the second time without measuring
        assert use_precision(layers, "bfloat16") == used
        assert {layer.precision for layer in layers} == {used}
    assert len(caplog.records) == 2 * (used == "float32")
    assert all(f"{max(ratios):.0%}" in line for line in caplog.messages)


def test_float32_is_not_measured(monkeypatch, layers):
    monkeypatch.setattr(precision_module, "time_ratio", lambda *_: 1 / 0)
    assert use_precision(layers, "float32") == "float32"
    monkeypatch.setattr(kernels, "unsupported_reason", lambda name="float32": "no such processor")
    assert use_precision(layers, "bfloat16") == "float32"
    other = [RecurrentLayer(CELLS["indrnn"], 3, 8, False)]  # has no kernel
    assert use_precision(other, "bfloat16") == "float32"


@pytest.mark.skipif(
    kernels.unsupported_reason("bfloat16") is not None,
    reason=str(kernels.unsupported_reason("bfloat16")),
)
def test_measuring_changes_neither_weights_nor_random_numbers(monkeypatch, layers):
    monkeypatch.setattr(precision_module, "SHAPES", ((1, 4), (3, 2)))
    before = [tensor.clone() for layer in layers for tensor in layer.parameters()]
    state = torch.get_rng_state()
    assert use_precision(layers, "bfloat16") in kernels.PRECISIONS
    assert torch.equal(torch.get_rng_state(), state)
    after = [tensor for layer in layers for tensor in layer.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
