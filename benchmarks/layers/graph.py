"""A torch.nn GRU or LSTM as an ONNX model, weight by weight.

ONNX has another order of gates (GRU: z, r, n; LSTM: i, o, f, g), adds both biases inside the
operator and puts the direction between time and batch. `linear_before_reset=1` resets after the
product,
as torch does.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ORDER = {"gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
"""Of torch's gates, in ONNX's order."""
STATES = {"gru": ("h",), "lstm": ("h", "c")}
OPSET, IR = 17, 8  # of 2022, readable by every current onnxruntime


def recurrent_model(cell: str, layer: nn.RNNBase, carried: bool) -> Any:
    """An onnx.ModelProto: x (frames, batch, inputs) → y (frames, batch, directions·H).

    With `carried`, also layer l's state in (`h0`, `c0`, …) and out (`h0_end`, …), each
    (directions, batch, H); without, it starts from zeros. Needs the onnx package.
    """
    from onnx import TensorProto, helper, numpy_helper

    attributes: dict[str, Any] = {
        "hidden_size": layer.hidden_size,
        "direction": "bidirectional" if layer.bidirectional else "forward",
    }
    if cell == "gru":
        attributes["linear_before_reset"] = 1
    nodes, constants, inputs, outputs = [], [], ["x"], ["y"]
    constants.append(numpy_helper.from_array(np.array([0, 0, -1], np.int64), "joined"))
    before = "x"
    for number in range(layer.num_layers):
        after = "y" if number == layer.num_layers - 1 else f"y{number}"
        for name, values in _weights(cell, layer, number).items():
            constants.append(numpy_helper.from_array(values.numpy(), f"{name}{number}"))
        names = [f"{state}{number}" for state in STATES[cell]]
        starts = ["", *names] if carried else []  # the first would be lengths
        ends = [f"{name}_end" for name in names] if carried else []
        if carried:
            inputs, outputs = inputs + names, outputs + ends
        nodes += [
            helper.make_node(
                cell.upper(),
                [before, f"W{number}", f"R{number}", f"B{number}", *starts],
                [f"apart{number}", *ends],
                **attributes,
            ),
            helper.make_node("Transpose", [f"apart{number}"], [f"t{number}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"t{number}", "joined"], [after]),
        ]
        before = after
    graph = helper.make_graph(
        nodes, cell,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in outputs],
        constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def _weights(cell: str, layer: nn.RNNBase, number: int) -> dict[str, Tensor]:
    """W (directions, gates·H, columns), R (directions, gates·H, H), B (directions, 2·gates·H)."""
    found: dict[str, list[Tensor]] = {"W": [], "R": [], "B": []}
    for suffix in ("", "_reverse") if layer.bidirectional else ("",):
        w, r, b_w, b_r = (
            _ordered(getattr(layer, f"{name}_l{number}{suffix}").detach(), ORDER[cell])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        for name, values in zip("WRB", (w, r, torch.cat([b_w, b_r])), strict=True):
            found[name].append(values)
    return {name: torch.stack(parts) for name, parts in found.items()}


def _ordered(values: Tensor, order: tuple[int, ...]) -> Tensor:
    gates = values.chunk(len(order))
    return torch.cat([gates[i] for i in order])
