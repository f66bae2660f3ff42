"""One recurrent layer: a cell run one way or both ways over padded rows.

Three roads give the same numbers (the tests hold them against each other):
- `cpu`: our compiled kernels (kernels), both directions and ragged rows in one call;
- `fused`: one library call a direction (torch.nn's code; cuDNN on a GPU);
- `unroll`: the cell's own equations, frame by frame.
"""

import logging
from typing import Literal

import torch
from torch import Tensor, nn

from speechgru import kernels
from speechgru.cells.base import Cell, State
from speechgru.cells.unroll import reverse_valid, run_fused, unroll, valid_frames

Backend = Literal["auto", "cpu", "fused", "unroll"]
log = logging.getLogger(__name__)
_told: set[str] = set()


class RecurrentLayer(nn.Module):
    """(batch, frames, input), lengths (batch,) int64 → (batch, frames, directions·H).

    Padded frames are zero on the way out and never touch the others, in either direction: the
    backward pass starts at each row's own last valid frame.
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
        self.output_size = count * hidden_size
        self.set_precision("float32")

    def set_precision(self, precision: str) -> None:
        """How the CPU kernel multiplies at inference: a name in `kernels.PRECISIONS`.

        What this machine cannot do is said once, and float32 taken instead.
        """
        cell = self._cells()[0]
        if precision != "float32":
            reason = kernels.unsupported_reason(precision)
            if cell.kernel not in kernels.KINDS:
                reason = f"the cell {type(cell).__name__} has no CPU kernel"
            if reason is not None:
                _tell_once(
                    f"no {precision} here ({reason}): float32 is used instead", logging.WARNING
                )
                precision = "float32"
        self._kernel = (
            kernels.Kernel(cell.kernel, precision) if cell.kernel in kernels.KINDS else None
        )

    def initial_state(self, batch: int) -> State:
        """Zeros: tensors (directions, batch, H)."""
        each = [cell.initial_state(batch) for cell in self._cells()]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))

    def forward(
        self, x: Tensor, lengths: Tensor, state: State | None = None
    ) -> tuple[Tensor, State | None]:
        """With `state` (directions, batch, H) given, also returns the state after each row's last
        frame (a backward direction's: after frame 0); without, starts from zeros and returns
        None, which leaves the faster library calls open to ragged rows."""
        if self._use_kernel(x):
            assert self._kernel is not None
            weights: list[kernels.Weights] = [
                (c.weight_ih, c.weight_hh, c.bias_ih, c.bias_hh) for c in self._cells()
            ]
            y, final = self._kernel(x, lengths, weights, state)
            return y, None if state is None else final
        outputs, finals = [], []
        for direction, cell in enumerate(self._cells()):
            start = None if state is None else tuple(part[direction] for part in state)
            rows = x if direction == 0 else reverse_valid(x, lengths)
            y, end = self._one_way(cell, rows, lengths, start)
            outputs.append(y if direction == 0 else reverse_valid(y, lengths))
            finals.append(end)
        y = torch.cat(outputs, dim=-1)
        if state is None:
            return y, None
        return y, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _one_way(
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
        if self.backend not in ("auto", "cpu") or self._kernel is None:
            return False
        on_cpu = x.device.type == "cpu"
        reason = kernels.unavailable() if on_cpu else f"the data are on {x.device.type}"
        if reason is None and x.dtype not in (torch.float32, torch.float64):
            reason = f"no kernel for {x.dtype}"
        if reason is not None:
            _tell_once(f"CPU kernels off ({reason}): torch.nn is used instead")
        return reason is None

    def _cells(self) -> list[Cell]:
        return [cell for cell in self.directions if isinstance(cell, Cell)]


def _tell_once(words: str, level: int = logging.INFO) -> None:
    if words not in _told:
        _told.add(words)
        log.log(level, words)
