"""A workload, and how much arithmetic it is by the equations."""

from dataclasses import dataclass
from typing import Literal, get_args

from speechgru.cells import CELLS

CaseKind = Literal["forward", "chunk", "training"]
CASE_KINDS: tuple[CaseKind, ...] = get_args(CaseKind)


@dataclass(frozen=True)
class Case:
    """`batch` rows of `frames` frames through a stack of `layers` layers of `hidden` units.

    forward: from zeros; chunk: from the state after the last chunk; training: forward and backward,
    with the gradients of all weights and of the input.
    """

    kind: CaseKind
    hidden: int
    batch: int
    frames: int
    directions: int
    layers: int = 2
    inputs: int = 80

    def columns(self) -> list[int]:
        """Input values per frame of each layer."""
        return [self.inputs] + [self.directions * self.hidden] * (self.layers - 1)

    def input_operations(self, cell: str) -> int:
        """Of the products with the input weights: a multiplication and an addition per weight, row
        and frame."""
        rows = self.batch * self.frames
        return 2 * rows * self.directions * CELLS[cell].gates * self.hidden * sum(self.columns())

    def recurrent_operations(self, cell: str) -> int:
        """Of the products with the recurrent weights."""
        products = self.batch * self.frames * self.directions * self.layers
        return 2 * products * CELLS[cell].gates * self.hidden**2

    def recurrent_bytes(self, cell: str, element: int = 4) -> int:
        """The recurrent weights of one direction of one layer, `element` bytes per weight."""
        return element * CELLS[cell].gates * self.hidden**2

    def streamed_bytes(self, cell: str, element: int = 4) -> int:
        """Recurrent weights read in total: once per frame, for all rows together."""
        return self.frames * self.directions * self.layers * self.recurrent_bytes(cell, element)

    def __str__(self) -> str:
        direction = "bidirectional" if self.directions == 2 else "unidirectional"
        return f"{self.kind} {self.batch} × {self.frames}, {direction}, H={self.hidden}"
