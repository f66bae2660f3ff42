"""What is run, and how much work that is by its equations."""

from dataclasses import dataclass
from typing import Literal, get_args

from speechgru.cells import CELLS

Kind = Literal["forward", "chunk", "training"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Case:
    """`batch` rows of `frames` frames through a stack of `layers` layers, `hidden` units wide.

    forward: from zeros; chunk: from the state where the last chunk ended; training: forward and
    backward, with the gradients of all weights and of the input.
    """

    kind: Kind
    hidden: int
    batch: int
    frames: int
    directions: int
    layers: int = 2
    inputs: int = 80

    def columns(self) -> list[int]:
        """Values a frame that each layer is given."""
        return [self.inputs] + [self.directions * self.hidden] * (self.layers - 1)

    def input_operations(self, cell: str) -> int:
        """Of the products with the input weights: one multiplication and one addition a weight,
        row and frame."""
        rows = self.batch * self.frames
        return 2 * rows * self.directions * CELLS[cell].gates * self.hidden * sum(self.columns())

    def recurrent_operations(self, cell: str) -> int:
        """Of the products with the recurrent weights."""
        products = self.batch * self.frames * self.directions * self.layers
        return 2 * products * CELLS[cell].gates * self.hidden**2

    def recurrent_bytes(self, cell: str, element: int = 4) -> int:
        """The recurrent weights of one direction of one layer, `element` bytes a weight."""
        return element * CELLS[cell].gates * self.hidden**2

    def streamed_bytes(self, cell: str, element: int = 4) -> int:
        """Recurrent weights read in all: once a frame, for all rows together."""
        return self.frames * self.directions * self.layers * self.recurrent_bytes(cell, element)

    def __str__(self) -> str:
        way = "two-way" if self.directions == 2 else "one-way"
        return f"{self.kind} {self.batch} × {self.frames}, {way}, H={self.hidden}"
