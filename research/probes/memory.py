"""The adding and copy problems: which cells learn to carry something over how many frames.

Every cell gets the same: one one-way layer, a linear read-out of each frame, Adam with clipped
gradients, the same sequences in the same order for a seed, the same number of updates, the same
learning rates. Nothing is tuned for any of them, so "not solved" means: not within this many
updates at this rate.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from research.probes.finding import (
    Finding,
    Job,
    Row,
    Rows,
    Show,
    Spread,
    Table,
    banded,
    chart,
    complete,
    spread,
)
from research.probes.subjects import CLAIMS, check_cells, colour
from research.probes.tasks import TASKS, Task
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.errors import SpeechgruError
from speechgru.figures import Axis, Series

HELD_OUT = 500  # sequences, the same for all
SETTINGS = ("updates", "every", "width", "batch", "clip")
METHOD = (
    "One layer of {width} units, Adam with gradients clipped to norm "
    "{clip:g}, {batch} new sequences an update, at most {updates} updates; a run ends when its "
    "error on {held_out} held-out sequences falls below the criterion, or when it leaves the "
    "numbers, and its curve goes on with its last error (chance, if it had none). Criterion "
    "and chance: {criteria}."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Every task × length × learning rate × cell × seed (1, 2, …) is one run."""

    tasks: tuple[str, ...] = ("adding",)
    lengths: tuple[int, ...] = (100,)  # frames
    cells: tuple[str, ...] = ("rnn", "rnn_relu", "gru", "lstm")
    seeds: int = 5
    updates: int = 2000
    every: int = 100  # updates between looks at the held-out sequences
    width: int = 64
    batch: int = 32
    rates: tuple[float, ...] = (1e-3,)  # of Adam
    clip: float = 1.0

    def problems(self) -> list[tuple[str, int, float]]:
        """(task, length, learning rate)"""
        return list(product(self.tasks, self.lengths, self.rates))


class Reader(nn.Module):
    """(batch, frames, inputs) → (batch, frames, outputs) through one one-way layer."""

    def __init__(self, cell: str, task: Task, width: int) -> None:
        super().__init__()
        self.layer = RecurrentLayer(CELLS[cell], task.inputs, width, bidirectional=False)
        self.head = nn.Linear(width, task.outputs)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layer(x, torch.full((len(x),), x.shape[1]))
        outputs: Tensor = self.head(y)
        return outputs


def probe_memory(plan: Plan, rows: Rows, show: Show) -> Finding:
    """Run what is not in `rows` yet and sum all up.

    Raises SpeechgruError: an unknown task or cell, a length too short for its task.
    """
    check_cells(plan.cells)
    for name in plan.tasks:
        if name not in TASKS:
            raise SpeechgruError(f"task {name!r}: expected one of {', '.join(TASKS)}")
        if min(plan.lengths) < TASKS[name].shortest:
            least = TASKS[name].shortest
            raise SpeechgruError(f"{name} of {min(plan.lengths)} frames: expected {least} or more")
    settings = {name: getattr(plan, name) for name in SETTINGS}
    jobs = []
    for task, length, rate in plan.problems():
        for seed in range(1, plan.seeds + 1):  # all cells of a seed before the next seed
            for cell in plan.cells:
                key = {"task": task, "length": length, "rate": rate, "cell": cell, "seed": seed}
                measure = partial(run, plan, TASKS[task], length, rate, cell, seed)
                jobs.append(Job(key | settings, measure))
    return summarise(plan, complete(rows, jobs, show))


def run(plan: Plan, task: Task, length: int, rate: float, cell: str, seed: int) -> Row:
    """One training: held-out errors, the update that solved the task (None: never), the largest
    gradient norm before clipping, and whether a gradient or an error left the numbers."""
    torch.manual_seed(seed)
    model = Reader(cell, task, plan.width)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    x_held, y_held = task.draw(HELD_OUT, length, np.random.default_rng([0, length]))
    errors: list[float] = []
    largest = 0.0
    for update in range(1, plan.updates + 1):
        x, y = task.draw(plan.batch, length, np.random.default_rng([seed, update]))
        loss = task.loss(model(x), y)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), plan.clip))
        if not np.isfinite(norm):
            return _row(errors, None, largest, failed=True)
        largest = max(largest, norm)
        optimiser.step()
        if update % plan.every == 0:
            model.eval()
            with torch.inference_mode():
                errors.append(task.error(model(x_held), y_held))
            model.train()
            if not np.isfinite(errors[-1]):
                return _row(errors[:-1], None, largest, failed=True)
            if errors[-1] < task.solved:
                return _row(errors, update, largest)
    return _row(errors, None, largest)


def _row(errors: list[float], solved: int | None, largest: float, failed: bool = False) -> Row:
    return {"errors": errors, "solved": solved, "largest_gradient": largest, "failed": failed}


# Summing up --------------------------------------------------------------------------------------


def summarise(plan: Plan, rows: Sequence[Row]) -> Finding:
    tables: list[Table] = []
    numbers: dict[str, Any] = {}
    figures: dict[str, str] = {}
    looks = [plan.every * n for n in range(1, plan.updates // plan.every + 1)]
    for name, length, rate in plan.problems():
        task = TASKS[name]
        title = f"{name}-{length}" + (f"-rate-{rate:g}" if len(plan.rates) > 1 else "")
        lines = []
        numbers[title] = {}
        for cell in plan.cells:
            wanted = {"task": name, "length": length, "rate": rate, "cell": cell}
            runs = [row for row in rows if wanted.items() <= row.items()]
            numbers[title][cell] = _figures(task, runs)
            curves = [_carried_on(row["errors"], len(looks), task) for row in runs]
            lines.append(banded(cell, looks, curves, colour(cell)))
        lines.append(
            Series("chance", [looks[0], looks[-1]], [task.chance] * 2, colour=6, dashed=True)
        )
        caption = f"The {name} problem over {length} frames, learning rate {rate:g}"
        tables.append(_table(f"{caption} (chance {task.chance:.3g})", task, numbers[title]))
        figures[f"memory-{title}"] = chart(
            caption, lines, Axis("updates"), Axis(f"held-out {task.unit}", low=0),
            f"{plan.seeds} seeds", tables[-1].lines(),
        )  # fmt: skip
    criteria = "; ".join(
        f"{name}: {TASKS[name].unit} below {TASKS[name].solved:g}, chance {TASKS[name].chance:.4g}"
        for name in plan.tasks
    )
    method = METHOD.format(**asdict(plan), held_out=HELD_OUT, criteria=criteria)
    return Finding("memory", CLAIMS["memory"], method, tuple(tables), numbers, figures)


def _table(caption: str, task: Task, numbers: dict[str, Any]) -> Table:
    head = ("cell", "runs that solved it", "updates to solve", f"last {task.unit}",
            "largest gradient norm", "runs that left the numbers")  # fmt: skip
    rows = []
    for cell, found in numbers.items():
        updates = found["updates_to_solve"]
        rows.append((
            cell, f"{found['solved']} of {found['runs']}",
            Spread(**updates).told(4) if updates else "–", Spread(**found["error"]).told(),
            Spread(**found["largest_gradient"]).told(), str(found["failed"]),
        ))  # fmt: skip
    return Table(caption, head, tuple(rows))


def _carried_on(errors: Sequence[float], looks: int, task: Task) -> list[float]:
    """The curve to its full length: with the last error, or chance where there is none."""
    last = errors[-1] if errors else task.chance
    return [*errors, *[last] * (looks - len(errors))]


def _figures(task: Task, runs: Sequence[Row]) -> dict[str, Any]:
    solved = [row["solved"] for row in runs if row["solved"] is not None]
    return {
        "runs": len(runs),
        "solved": len(solved),
        "failed": sum(row["failed"] for row in runs),
        "chance": task.chance,
        "updates_to_solve": asdict(spread(solved)) if solved else None,
        "error": asdict(spread([_carried_on(row["errors"], 1, task)[-1] for row in runs])),
        "largest_gradient": asdict(spread([row["largest_gradient"] for row in runs])),
    }
