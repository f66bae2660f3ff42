"""Which implementation a layer uses."""

import pytest
import torch
from layers import RAGGED, batch, make_layer

from speechgru import kernels
from speechgru.cells import CELLS
from speechgru.cells import layer as layers

CPU = torch.device("cpu")


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The implementations that are called."""
    calls: list[str] = []
    unroll = layers.unroll

    def kernel(self, x, lengths, weights, state):
        calls.append("cpu")
        return x.new_zeros(*x.shape[:2], weights[0][1].shape[1]), None

    def spy_fused(fused):
        def call(self, x, state):
            result = fused(self, x, state)
            calls.extend(["fused"] if result is not None else [])
            return result

        return call

    def spy_unroll(*arguments):
        calls.append("unroll")
        return unroll(*arguments)

    monkeypatch.setattr(kernels.Kernel, "__call__", kernel)
    monkeypatch.setattr(layers, "unroll", spy_unroll)
    for cell in CELLS.values():
        if "fused" in vars(cell):
            monkeypatch.setattr(cell, "fused", spy_fused(cell.fused))
    return calls


@pytest.mark.parametrize("backend", ["auto", "fused", "unroll"])
@pytest.mark.parametrize("name", CELLS)
def test_the_backend_named_for_a_device_is_the_one_that_runs(name, backend, used):
    layer = make_layer(name, False, backend)
    named = layer.backend_on(CPU)
    layer(*batch(RAGGED))
    assert used == [named]


@pytest.mark.parametrize("name", ["gru", "ligru"])
def test_kernels_are_for_the_cpu_only(name):
    layer = make_layer(name, False, "auto")
    assert layer.backend_on(torch.device("cuda")) in ("fused", "unroll")


@pytest.mark.parametrize("name", ["gru", "gru_ln"])
@pytest.mark.parametrize("how", ["compile", "export"])
def test_torch_can_compile_and_export_a_layer(how, name):
    layer = make_layer(name, True, "auto")
    x, lengths = batch(RAGGED)
    expected = layer(x, lengths)[0]
    if how == "compile":
        traced = torch.compile(layer, backend="eager", fullgraph=True)
    else:
        traced = torch.export.export(layer, (x, lengths)).module()
    torch.testing.assert_close(traced(x, lengths)[0], expected)
