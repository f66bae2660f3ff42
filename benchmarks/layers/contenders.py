"""The layers that are timed: ours, torch.nn's, onnxruntime's, with the same weights and input.

A contender is a function from a state to (outputs, state), so that it can be timed and compared.
Each gets its input in its fastest layout: ours (batch, frames, inputs), the others (frames, batch,
inputs).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.layers.case import Case
from benchmarks.layers.graph import STATES, recurrent_model
from speechgru.cells import CELLS, Cell, RecurrentLayer

MODULES: dict[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}
"""torch.nn's, by the names of our cells."""
WARM_UP = 2  # calls before timing: the first may compile

Call = Callable[[Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Contender:
    """`call(state)` → (result, next state); states are None at first and where none are carried.
    `read` turns a result into tensors: the output (batch, frames, directions·H), or in training the
    gradients."""

    maker: str  # ours, torch.nn, onnxruntime; ours bfloat16
    cell: str
    call: Call
    read: Callable[[Any], list[Tensor]]
    warm_up: int = WARM_UP
    precision: str = "float32"

    @property
    def name(self) -> str:
        return f"{self.maker} {self.cell}"


@dataclass(frozen=True)
class Workload:
    """Shared by all contenders of one cell."""

    case: Case
    cell: str
    module: nn.RNNBase
    x: Tensor  # (batch, frames, inputs)
    upstream: Tensor  # gradient of the output, in training


def workload(case: Case, cell: str) -> Workload:
    """Weights drawn by torch.nn and normally distributed input, with a fixed seed."""
    torch.manual_seed(1)
    module = MODULES[cell](
        case.inputs, case.hidden, num_layers=case.layers, bidirectional=case.directions == 2
    )
    x = torch.randn(case.batch, case.frames, case.inputs)
    upstream = torch.randn(case.batch, case.frames, case.directions * case.hidden)
    return Workload(case, cell, module, x, upstream)


def ours(m: Workload, precision: str = "float32") -> Contender:
    """A stack of RecurrentLayers, on the backend that they choose here."""
    case = m.case
    layers = [
        RecurrentLayer(CELLS[m.cell], columns, case.hidden, case.directions == 2)
        for columns in case.columns()
    ]
    weights = _copy_weights(layers, m.module)
    if precision != "float32":
        for layer in layers:
            layer.set_precision(precision)
    if case.kind == "chunk":  # as in a loaded recogniser
        for layer in layers:
            layer.requires_grad_(False)
    lengths = torch.full((case.batch,), case.frames)
    start = [layer.initial_state(case.batch) for layer in layers]
    carried = case.kind == "chunk"

    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        states = (state or start) if carried else [None] * len(layers)
        ends = []
        for layer, begin in zip(layers, states, strict=True):
            x, end = layer(x, lengths, begin)
            ends.append(end)
        return x, ends if carried else None

    maker = "ours" if precision == "float32" else f"ours {precision}"
    if case.kind == "training":
        call = _training(run, m.x, m.upstream, weights)
        return Contender(maker, m.cell, call, list, precision=precision)
    return Contender(
        maker, m.cell, lambda state: run(m.x, state), lambda y: [y], precision=precision
    )


def torch_nn(m: Workload) -> Contender:
    """torch.nn's module."""
    x = m.x.transpose(0, 1).contiguous()
    carried = m.case.kind == "chunk"

    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, end = m.module(x, state)
        return y, end if carried else None

    if m.case.kind == "training":
        upstream = m.upstream.transpose(0, 1).contiguous()
        call = _training(run, x, upstream, list(m.module.parameters()))
        return Contender("torch.nn", m.cell, call, _batch_first)
    return Contender("torch.nn", m.cell, lambda state: run(x, state), lambda y: [y.transpose(0, 1)])


def onnx_runtime(m: Workload, threads: int) -> Contender | None:
    """onnxruntime's CPU provider; None if it is not installed or lacks the operator, and for
    training."""
    if m.case.kind == "training" or m.cell not in STATES:
        return None
    try:
        import onnxruntime

        model = recurrent_model(m.cell, m.module, m.case.kind == "chunk")
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = m.x.transpose(0, 1).contiguous().numpy()
    names = [one.name for one in session.get_inputs()[1:]]
    zeros = torch.zeros(m.case.directions, m.case.batch, m.case.hidden).numpy()

    def call(state: Any) -> tuple[Any, Any]:
        y, *ends = session.run(None, {"x": x, **(state or dict.fromkeys(names, zeros))})
        return y, dict(zip(names, ends, strict=True)) or None

    def read(y: Any) -> list[Tensor]:
        return [torch.from_numpy(y).transpose(0, 1)]

    return Contender("onnxruntime", m.cell, call, read)


def _training(
    run: Callable[[Tensor, Any], tuple[Tensor, Any]],
    x: Tensor,
    upstream: Tensor,
    weights: list[nn.Parameter],
) -> Call:
    """Forward, then the gradients of the input and all weights, given the output's."""
    x = x.clone().requires_grad_()

    def call(state: Any) -> tuple[Any, Any]:
        y, _ = run(x, None)
        return torch.autograd.grad(y, [x, *weights], upstream), None

    return call


def _batch_first(gradients: tuple[Tensor, ...]) -> list[Tensor]:
    return [gradients[0].transpose(0, 1), *gradients[1:]]


def _copy_weights(layers: list[RecurrentLayer], module: nn.RNNBase) -> list[nn.Parameter]:
    """Copy torch's values to our parameters; returns ours in torch's order."""
    copied: list[nn.Parameter] = []
    for number, layer in enumerate(layers):
        for cell, suffix in zip(layer.directions, ("", "_reverse"), strict=False):
            assert isinstance(cell, Cell)
            for name in cell.names:
                own = getattr(cell, name)
                with torch.no_grad():
                    own.copy_(getattr(module, f"{name}_l{number}{suffix}"))
                copied.append(own)
    return copied
