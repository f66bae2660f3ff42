"""One recurrent layer: a cell run in one or both directions over padded rows.

Three interchangeable backends, tested for equality:
- `cpu`: our compiled kernels, both directions and ragged rows in one call;
- `fused`: one library call per direction (torch.nn's code; cuDNN on a GPU);
- `unroll`: the cell's own equations, frame by frame.
"""

import logging
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from speechgru import kernels
from speechgru.cells.base import Cell, State
from speechgru.cells.unroll import reverse_valid, run_fused, unroll, valid_frames

Backend = Literal["auto", "cpu", "fused", "unroll"]
log = logging.getLogger(__name__)


class RecurrentLayer(nn.Module):
    """(batch, frames, input), lengths (batch,) int64 → (batch, frames, directions·H).

    Padded frames are zero in the output and never affect others, in either direction: the backward
    direction starts at each row's own last valid frame.
    """

    backend: Backend = "auto"

    def __init__(
        self,
        cell: type[Cell],
        input_size: int,
        hidden_size: int,
        bidirectional: bool,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        count = 2 if bidirectional else 1
        self.directions = nn.ModuleList(
            cell(input_size, hidden_size, forget_bias) for _ in range(count)
        )
        self.input_size, self.output_size = input_size, count * hidden_size
        self._kernel: kernels.Kernel | None = None
        self.set_precision("float32")

    def set_precision(self, precision: str) -> None:
        """Precision of the CPU kernel's products: one of `kernels.PRECISIONS`.

        If this machine or cell does not support it, a warning is logged and float32 is used.
        """
        name = self._cells()[0].kernel
        if precision != "float32":
            reason = kernels.unsupported_reason(precision)
            if name is None:
                reason = f"{type(self._cells()[0]).__name__} has no CPU kernel"
            if reason is not None:
                _log_once(
                    logging.WARNING, f"{precision} is not supported ({reason}): using float32"
                )
                precision = "float32"
        if self._kernel is None or self._kernel.precision != precision:
            self._kernel = None if name is None else kernels.Kernel(name, precision)

    @property
    def precision(self) -> str:
        """In use, one of `kernels.PRECISIONS`."""
        return "float32" if self._kernel is None else self._kernel.precision

    @property
    def sizes(self) -> tuple[str | None, int, int, int]:
        """Kernel, input size, output size and number of directions: what its speed depends on."""
        kernel = self._cells()[0].kernel
        return kernel, self.input_size, self.output_size, len(self.directions)

    def kernel_of(self, precision: str) -> kernels.Kernel:
        """A CPU kernel for this layer's cell, which must have one."""
        name = self._cells()[0].kernel
        assert name is not None
        return kernels.Kernel(name, precision)

    def weights(self) -> list[kernels.Weights]:
        """Of a cell with a CPU kernel, per direction."""
        # from torch's dictionaries: attributes would take a tenth of a small chunk's time
        cells: list[dict[str, Any]] = [c._parameters for c in self.directions._modules.values()]
        return [(c["weight_ih"], c["weight_hh"], c["bias_ih"], c["bias_hh"]) for c in cells]

    def backend_on(self, device: torch.device) -> Backend:
        """The backend used on a device: cpu, fused or unroll."""
        wanted = self.backend in ("auto", "cpu") and self._kernel is not None
        if wanted and device.type == "cpu" and kernels.unsupported_reason() is None:
            return "cpu"
        has_fused = type(self._cells()[0]).fused is not Cell.fused
        return "fused" if has_fused and self.backend != "unroll" else "unroll"

    def initial_state(self, batch: int) -> State:
        """Zeros: tensors (directions, batch, H)."""
        each = [cell.initial_state(batch) for cell in self._cells()]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))

    def forward(
        self, x: Tensor, lengths: Tensor, state: State | None = None
    ) -> tuple[Tensor, State | None]:
        """With `state`, tensors (directions, batch, H), also returns the state after each row's
        last frame (in the backward direction: after frame 0). Without, starts from zeros and
        returns None, so that the faster library calls can be used for ragged rows."""
        if self._use_kernel(x):
            assert self._kernel is not None
            y, final = self._kernel(x, lengths, self.weights(), state)
            return y, None if state is None else final
        outputs, finals = [], []
        for direction, cell in enumerate(self._cells()):
            start = None if state is None else tuple(part[direction] for part in state)
            rows = x if direction == 0 else reverse_valid(x, lengths)
            y, end = self._one_direction(cell, rows, lengths, start)
            outputs.append(y if direction == 0 else reverse_valid(y, lengths))
            finals.append(end)
        y = torch.cat(outputs, dim=-1)
        if state is None:
            return y, None
        return y, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _one_direction(
        self, cell: Cell, x: Tensor, lengths: Tensor, state: State | None
    ) -> tuple[Tensor, State]:
        start = cell.initial_state(x.shape[0]) if state is None else state
        if self.backend != "unroll" and x.shape[1] > 0:
            if state is None and (result := cell.fused(x, start)) is not None:
                y, final = result
                return y * valid_frames(lengths, x.shape[1])[..., None], final
            if state is not None and (result := run_fused(cell, x, lengths, start)) is not None:
                return result
        return unroll(cell, x, lengths, start)

    def _use_kernel(self, x: Tensor) -> bool:
        if torch.compiler.is_compiling():  # torch.compile and torch.export cannot trace kernels
            return False
        if self.backend not in ("auto", "cpu") or self._kernel is None:
            return False
        on_cpu = x.device.type == "cpu"
        reason = kernels.unsupported_reason() if on_cpu else f"the input is on {x.device.type}"
        if reason is None and x.dtype not in (torch.float32, torch.float64):
            reason = f"the input is {x.dtype}"
        if reason is not None:
            _log_once(logging.INFO, f"CPU kernels not used ({reason}): using torch's functions")
        return reason is None

    def _cells(self) -> list[Cell]:
        return [cell for cell in self.directions if isinstance(cell, Cell)]


@cache
def _log_once(level: int, message: str) -> None:
    log.log(level, message)
