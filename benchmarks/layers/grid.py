"""The cases that are measured."""

from dataclasses import dataclass, replace

from benchmarks.layers.case import CASE_KINDS, Case, CaseKind
from speechgru.errors import SpeechgruError


@dataclass(frozen=True)
class Grid:
    """By default the sizes of a medium recogniser."""

    hidden: tuple[int, ...] = (128, 256, 512)
    batch: tuple[int, ...] = (1, 4, 16, 32)  # of forward passes
    directions: tuple[int, ...] = (1, 2)  # of forward passes and training steps
    kinds: tuple[CaseKind, ...] = CASE_KINDS
    inputs: int = 80
    single_frames: int = 1000  # of a single row: an utterance of 10 s
    batch_frames: int = 200  # of each of several rows
    chunk: int = 16  # frames
    training_batch: int = 16  # rows of a training step
    rounds: int = 7

    def cases(self) -> list[Case]:
        found = []
        for hidden in self.hidden:
            found.append(Case("chunk", hidden, 1, self.chunk, 1, inputs=self.inputs))
            for directions in self.directions:
                for batch in self.batch:
                    frames = self.single_frames if batch == 1 else self.batch_frames
                    found.append(
                        Case("forward", hidden, batch, frames, directions, inputs=self.inputs)
                    )
                found.append(
                    Case("training", hidden, self.training_batch, self.batch_frames, directions,
                         inputs=self.inputs)
                )  # fmt: skip
        return [case for case in found if case.kind in self.kinds]


QUICK = Grid(hidden=(256,), batch=(1, 16), directions=(2,))


def choose(quick: bool, hidden: str, batch: str, directions: str, cases: str) -> Grid:
    """The grid for the command's options; an empty option selects all. Raises SpeechgruError."""
    grid = QUICK if quick else Grid()
    if hidden:
        grid = replace(grid, hidden=_numbers("--hidden", hidden, 4096))
    if batch:
        grid = replace(grid, batch=_numbers("--batch", batch, 1024))
    if directions:
        grid = replace(grid, directions=_numbers("--directions", directions, 2))
    if cases:
        asked = [name.strip() for name in cases.split(",")]
        for name in asked:
            if name not in CASE_KINDS:
                raise SpeechgruError(
                    f"--cases {name!r:.40}: expected some of {', '.join(CASE_KINDS)}"
                )
        grid = replace(grid, kinds=tuple(kind for kind in CASE_KINDS if kind in asked))
    return grid


def _numbers(option: str, text: str, most: int) -> tuple[int, ...]:
    """ "128,256" → (128, 256)"""
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        found = ()
    if not found or not all(1 <= number <= most for number in found):
        raise SpeechgruError(
            f"{option} {text!r:.40}: expected numbers from 1 to {most} separated by commas"
        )
    return found
