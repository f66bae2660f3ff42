"""The adding and copy problems: which cells learn to carry information over how many frames.

Equal terms for every cell: one unidirectional layer and a linear output at each frame, Adam with
clipped gradients, the same sequences in the same order for a seed, the same number of steps, the
same learning rates. Nothing is tuned per cell: "not solved" means not within these steps at this
learning rate. A run ends when its error on held-out sequences falls below the criterion
(`Problem.solved`) or when it diverges; its curve continues with the last error (chance if none).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from research.probes.finding import Curves, Finding, Job, Record, Table, plot, spread
from research.probes.problems import PROBLEMS, Problem
from research.probes.subjects import check_cells
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.errors import SpeechgruError

HELD_OUT = 500  # sequences, the same for all runs


@dataclass(frozen=True, slots=True)
class Run:
    problem: str
    length: int  # frames
    learning_rate: float
    cell: str
    seed: int
    steps: int = 2000  # at most
    evaluate_every: int = 100  # steps
    hidden_size: int = 64
    batch: int = 32
    clip: float = 1.0


class Reader(nn.Module):
    """(batch, frames, inputs) → (batch, frames, outputs) through one unidirectional layer."""

    def __init__(self, cell: str, problem: Problem, hidden_size: int) -> None:
        super().__init__()
        self.layer = RecurrentLayer(CELLS[cell], problem.inputs, hidden_size, bidirectional=False)
        self.head = nn.Linear(hidden_size, problem.outputs)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layer(x, torch.full((len(x),), x.shape[1]))
        outputs: Tensor = self.head(y)
        return outputs


def memory_jobs(runs: Sequence[Run]) -> list[Job]:
    """Raises SpeechgruError for an unknown problem or cell, and for a length that is too short."""
    check_cells([run.cell for run in runs])
    for run in runs:
        if run.problem not in PROBLEMS:
            raise SpeechgruError(f"problem {run.problem!r}: expected one of {', '.join(PROBLEMS)}")
        shortest = PROBLEMS[run.problem].shortest
        if run.length < shortest:
            raise SpeechgruError(
                f"{run.problem} of {run.length} frames: expected {shortest} or more"
            )
    return [Job(asdict(run), partial(train, run)) for run in runs]


def train(run: Run) -> Record:
    """Held-out errors, the step at which the problem was solved (None: never), the largest gradient
    norm before clipping, and whether a gradient or an error became NaN or infinite."""
    torch.manual_seed(run.seed)
    problem = PROBLEMS[run.problem]
    model = Reader(run.cell, problem, run.hidden_size)
    optimiser = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
    x_held, y_held = problem.draw(HELD_OUT, run.length, np.random.default_rng([0, run.length]))
    record: Record = {"errors": [], "solved": None, "largest_gradient": 0.0, "diverged": False}
    for step in range(1, run.steps + 1):
        x, y = problem.draw(run.batch, run.length, np.random.default_rng([run.seed, step]))
        loss = problem.loss(model(x), y)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), run.clip))
        if not np.isfinite(norm):
            return record | {"diverged": True}
        record["largest_gradient"] = max(record["largest_gradient"], norm)
        optimiser.step()
        if step % run.evaluate_every == 0:
            model.eval()
            with torch.inference_mode():
                error = problem.error(model(x_held), y_held)
            model.train()
            if not np.isfinite(error):
                return record | {"diverged": True}
            record["errors"].append(error)
            if error < problem.solved:
                return record | {"solved": step}
    return record


def summarise(records: Sequence[Record]) -> Finding:
    """One table and one figure per problem, length and learning rate."""
    tables, figures = [], {}
    keys = ("problem", "length", "learning_rate")
    for task in dict.fromkeys(tuple(record[key] for key in keys) for record in records):
        name, length, rate = task
        problem = PROBLEMS[name]
        table = Table(
            f"{name} problem, {length} frames, learning rate {rate:g}, chance {problem.chance:.3g}",
            [],
        )
        lines = []
        chosen = [record for record in records if tuple(record[key] for key in keys) == task]
        for cell in dict.fromkeys(record["cell"] for record in chosen):
            runs = [record for record in chosen if record["cell"] == cell]
            steps = range(
                runs[0]["evaluate_every"], runs[0]["steps"] + 1, runs[0]["evaluate_every"]
            )
            curves = [extended(run["errors"], len(steps), problem.chance) for run in runs]
            lines.append(Curves(cell, steps, curves))
            solved = [run["solved"] for run in runs if run["solved"] is not None]
            table.rows.append({
                "cell": cell, "runs": len(runs), "solved": len(solved),
                "steps to solve": spread(solved),
                f"last {problem.metric}": spread([curve[-1] for curve in curves]),
                "largest gradient norm": spread([run["largest_gradient"] for run in runs]),
                "diverged": sum(run["diverged"] for run in runs),
            })  # fmt: skip
        tables.append(table)
        figure = plot(table.caption, lines, "steps", f"held-out {problem.metric}")
        figure.axes[0].axhline(problem.chance, color="grey", ls="--")
        figure.axes[0].set_ylim(bottom=0)
        figures[f"memory-{name}-{length}-rate-{rate:g}"] = figure
    return Finding("memory", tables, figures)


def extended(errors: Sequence[float], count: int, chance: float) -> list[float]:
    """The curve with its last error (chance if it has none) repeated up to `count` values."""
    return [*errors, *[errors[-1] if errors else chance] * (count - len(errors))]
