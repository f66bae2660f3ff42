"""Worker processes: each gets one task on its standard input and writes to a log file.

A worker that is stopped gets one SIGTERM, which lets a training save its state. It ends when its
parent does, however the parent ends: its input is then closed.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INTERRUPTED = 130  # exit status after Ctrl-C


@dataclass(frozen=True)
class Work:
    """A task as one line of text, the file that its output is appended to, and CPU threads."""

    task: str
    log: Path
    threads: int


def run_workers(program: str, work: Sequence[Work], jobs: int) -> Iterator[tuple[Work, int]]:
    """Work and exit status, as they finish, with `jobs` processes at a time. `program` is Python
    code that calls `serve`."""
    waiting = list(work)
    running: dict[subprocess.Popen[bytes], Work] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                each = waiting.pop(0)
                running[_start(program, each)] = each
            for process in [p for p in running if p.poll() is not None]:
                each = running.pop(process)
                _close_input(process)
                yield each, process.returncode
            time.sleep(0.05)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
            _close_input(process)


def serve(perform: Callable[[str], object]) -> None:
    """In a worker: perform the task on standard input. The process exits here, with status 0 or
    INTERRUPTED; an exception is a traceback and status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    task = sys.stdin.readline()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        perform(task)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    os._exit(0)  # without waiting for the thread that reads the input


def _start(program: str, work: Work) -> "subprocess.Popen[bytes]":
    threads = str(work.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    work.log.parent.mkdir(parents=True, exist_ok=True)
    with open(work.log, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
            start_new_session=True,  # Ctrl-C reaches only us: a second signal would stop it unsaved
        )  # fmt: skip
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has exited already, which its status will show
        process.stdin.write(work.task.encode() + b"\n")
        process.stdin.flush()
    return process


def _close_input(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)
