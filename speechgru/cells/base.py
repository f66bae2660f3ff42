"""The interface of a recurrent cell: parameters, a projection of the input, one step of equations.

A cell is independent of time, direction and padding: `unroll` (unroll.py) runs `step` over frames,
`RecurrentLayer` (layer.py) chooses between that and a faster implementation.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class Cell(nn.Module):
    """One direction of one layer.

    The weights consist of `gates` blocks of `hidden_size` rows, in the order each cell documents:

    weight_ih (gates·H, input)   weight_hh (gates·H, H)   bias_ih, bias_hh (gates·H,)

    A cell without some of the four lists its own in `names`; one with more makes them, with their
    first values, in its constructor.
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter
    bias_hh: nn.Parameter
    names: ClassVar[tuple[str, ...]] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    gates: ClassVar[int]
    states: ClassVar[int] = 1  # tensors carried from frame to frame; the first is the output
    kernel: ClassVar[str | None] = None  # the name of its CPU kernel, if there is one
    forget_gate: ClassVar[tuple[int, int] | None] = None
    """The forget gate's block of the weights, and the sign with which its bias keeps the memory;
    None for a cell without a forget gate, which ignores `forget_bias`."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        columns = {"weight_ih": (input_size,), "weight_hh": (hidden_size,)}
        for name in self.names:
            shape = (self.gates * hidden_size, *columns.get(name, ()))
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.reset_parameters(forget_bias)

    @torch.no_grad()
    def reset_parameters(self, forget_bias: float) -> None:
        """Draw all from U(-1/√H, 1/√H), as torch.nn does, then add `forget_bias` to the forget
        gate's bias_ih, which makes it the mean of that gate's total bias. 0: torch.nn's values."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        if self.forget_gate is not None:
            block, sign = self.forget_gate
            self.bias_ih.chunk(self.gates)[block].add_(sign * forget_bias)

    def weights(self) -> list[Tensor]:
        """In torch.nn's order."""
        return [getattr(self, name) for name in self.names]

    def initial_state(self, batch: int) -> State:
        zeros = self.weight_ih.new_zeros(batch, self.hidden_size)
        return (zeros,) * self.states

    def project(self, x: Tensor, valid: Tensor) -> Tensor:
        """The input part of the gates for all frames at once.

        (batch, frames, input) → (batch, frames, gates·H). `valid` (batch, frames) bool is true at
        frames that are not padding, for cells that compute statistics over them.
        """
        return nn.functional.linear(x, self.weight_ih, self.bias_ih)

    def step(self, gates_x: Tensor, state: State) -> State:
        """One frame: (batch, gates·H) and the state → the new state, whose first is the output."""
        raise NotImplementedError

    def log_retention(self, gates_x: Tensor, state: State) -> Tensor | None:
        """ln f of one frame, (batch, H), where m' = f ⊙ m + … is the update of the memory; None for
        a cell without gates. Arguments as for `step`."""
        return None

    def fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        """All frames in one library call, or None where no library has this cell.

        (batch, frames, input) → (batch, frames, H) and the state after the last frame, padding
        included; `unroll.run_fused` finds the state at each row's own end.
        """
        return None

    @classmethod
    def parameter_count(cls, input_size: int, hidden_size: int) -> int:
        """Weights and biases of one direction; each cell's docstring has the formula."""
        columns = {"weight_ih": input_size, "weight_hh": hidden_size}
        return cls.gates * hidden_size * sum(columns.get(name, 1) for name in cls.names)

    @classmethod
    def macs_per_frame(cls, input_size: int, hidden_size: int) -> int:
        """Multiply-accumulates of the matrix products; elementwise work is not counted."""
        columns = input_size + (hidden_size if "weight_hh" in cls.names else 0)
        return cls.gates * hidden_size * columns


def torch_recurrence(
    function: Callable[..., Any], x: Tensor, state: State, weights: list[Tensor]
) -> tuple[Tensor, ...]:
    """Run `torch.gru` or a similar function over one direction: y and the final state's tensors.

    x (batch, frames, input), state tensors (batch, H) → y (batch, frames, H), tensors (1, batch, H)
    """
    initial = [part[None] for part in state]
    start = initial if len(initial) > 1 else initial[0]
    # cuDNN saves what its backward pass needs only if `train` is set.
    train = torch.is_grad_enabled()
    result: tuple[Tensor, ...] = function(
        x, start, contiguous_block(weights), True, 1, 0.0, train, False, True
    )
    return result


def contiguous_block(tensors: list[Tensor]) -> list[Tensor]:
    """The same tensors as views of one block of memory; on a CPU, unchanged.

    Given separate weights, cuDNN warns and copies them into such a block at every call.
    """
    if tensors[0].device.type == "cpu":
        return tensors
    block = torch.cat([tensor.flatten() for tensor in tensors])
    parts = torch.split(block, [tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
