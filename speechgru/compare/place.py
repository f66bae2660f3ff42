"""Where trainings run. A place takes tasks and yields results as they come; there are two here,
and a cluster would be a third."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from speechgru.compare.work import OnStep, Task, failure, perform, read_result

Outcome = tuple[Task, dict[str, Any]]


class Place(Protocol):
    """Runs every task to its result file, whatever becomes of the others."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]: ...


class Here:
    """One after another in this process, with live progress."""

    def __init__(self, on_step: OnStep = lambda _: None) -> None:
        self.on_step = on_step

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        for task in tasks:
            before = torch.get_num_threads()
            torch.set_num_threads(task.threads)
            try:
                result = perform(task, self.on_step)
            finally:
                torch.set_num_threads(before)
            yield task, result


class Workers:
    """`jobs` processes at a time, each on `task.threads` threads. Their words go to
    RUN/worker.log. A worker ends when this process does."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        waiting = list(tasks)
        running: dict[subprocess.Popen[bytes], Task] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    task = waiting.pop(0)
                    running[_start(task)] = task
                for process in [p for p in running if p.poll() is not None]:
                    task = running.pop(process)
                    _close(process)
                    yield task, _result(task, process.returncode)
                time.sleep(0.05)
        finally:
            for process in running:
                process.terminate()  # as Ctrl-C: saves, then leaves
            for process in running:
                process.wait()
                _close(process)


def _start(task: Task) -> "subprocess.Popen[bytes]":
    threads = str(task.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "worker.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from speechgru.compare.work import main; main()"],
            stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
            start_new_session=True,  # Ctrl-C reaches us alone: a second one would not let it save
        )  # fmt: skip
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it is gone already; its status will tell
        process.stdin.write(task.to_json().encode() + b"\n")
        process.stdin.flush()
    return process


def _close(process: "subprocess.Popen[bytes]") -> None:
    """Its input, which stood open to tell it that we live."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


def _result(task: Task, status: int) -> dict[str, Any]:
    if status == 130:
        raise KeyboardInterrupt
    result = read_result(Path(task.result))
    if status == 0 and result is not None:
        return result
    return failure(
        task, "fault", f"its process ended with status {status}; see {task.folder}/worker.log"
    )
