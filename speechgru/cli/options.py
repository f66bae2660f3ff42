"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto (a GPU when present), cpu, cuda, cuda:1, …")]
Precision = Annotated[
    str, typer.Option(help="of recurrent layers on a CPU: float32, or bfloat16, which saves time")
]
Model = Annotated[Path, typer.Option("--model", "-m", help="a run folder or a model file")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: one a CPU")]


def use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
