"""Time, direction and ragged lengths for any cell: the generic backend, which needs only `step`."""

import torch
from torch import Tensor

from speechgru.cells.base import Cell, State


def unroll(cell: Cell, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
    """Run `cell.step` from the first frame to each row's last.

    x (batch, frames, input), lengths (batch,) int64, state tensors (batch, H) →
    y (batch, frames, H), zero at padded frames, and each row's state after its last frame.
    """
    batch, frames, _ = x.shape
    if frames == 0:
        return x.new_zeros(batch, 0, cell.hidden_size), state
    valid = valid_frames(lengths, frames)
    # No row ends before this frame; while torch.export traces, lengths have no values.
    all_alive = int(lengths.min()) if batch and not torch.compiler.is_compiling() else 0
    outputs = []
    # unbind, not [:, t]: the gradient of a slice is as large as the whole.
    for t, gates_x in enumerate(cell.project(x, valid).unbind(1)):
        new = cell.step(gates_x, state)
        if t >= all_alive:
            alive = valid[:, t, None]
            new = tuple(torch.where(alive, a, b) for a, b in zip(new, state, strict=True))
        state = new
        outputs.append(state[0])
    return torch.stack(outputs, dim=1) * valid[..., None], state


def run_fused(cell: Cell, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State] | None:
    """The same through `cell.fused`, or None where that cannot give it.

    Padding follows the valid frames, so it never affects a causal pass over them; but the library's
    final state is the one after the padding. For ragged rows h is taken from the outputs, which do
    not contain a second state (the LSTM's c): then None.
    """
    ragged = int(lengths.min()) < x.shape[1]
    if ragged and cell.states > 1:
        return None
    result = cell.fused(x, state)
    if result is None or not ragged:
        return result
    y, _ = result
    last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, y.shape[2])
    h = torch.where((lengths > 0)[:, None], y.gather(1, last)[:, 0], state[0])
    return y * valid_frames(lengths, x.shape[1])[..., None], (h,)


def reverse_valid(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each row's valid frames and leave its padding in place (its own inverse).

    Lengths 3, 1, 2 of     a b c        c b a
                           d · ·   →    d · ·
                           e f ·        f e ·
    """
    frames = torch.arange(x.shape[1], device=x.device)[None]
    source = torch.where(frames < lengths[:, None], lengths[:, None] - 1 - frames, frames)
    return x.gather(1, source[..., None].expand(-1, -1, x.shape[2]))


def valid_frames(lengths: Tensor, frames: int) -> Tensor:
    """(batch,) int64 → (batch, frames) bool, true at frames that are not padding."""
    return torch.arange(frames, device=lengths.device)[None] < lengths[:, None]
