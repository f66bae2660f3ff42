"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from speechgru.cpus import cpu_count

Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:1, …")]
Precision = Annotated[
    str, typer.Option(help="precision of recurrent layers on a CPU: float32, or bfloat16 (faster)")
]
BatchSeconds = Annotated[
    float,
    typer.Option(help="seconds of audio per batch, padding included (more is faster on a GPU)"),
]
Model = Annotated[Path, typer.Option("--model", "-m", help="run folder or model file")]
Threads = Annotated[
    int,
    typer.Option(min=0, help="number of CPU threads (0 = all available CPUs or OMP_NUM_THREADS)"),
]


def use_threads(threads: int) -> None:
    """Let torch use this many CPU threads; 0: the default of `cpu_count`."""
    import torch

    torch.set_num_threads(threads or cpu_count())
