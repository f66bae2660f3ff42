"""Worker processes: what they are given, how many run, and how they end."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechgru import workers
from speechgru.workers import INTERRUPTED, Work, run_workers

# Programs of workers: the task's text decides what becomes of it.
PROGRAM = """
import os, signal, sys, time
from speechgru.workers import serve

def perform(task):
    print(task.strip(), os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"], flush=True)
    if "fail" in task:
        raise ValueError("on purpose")
    if "stop" in task:
        raise KeyboardInterrupt
    if "sleep" in task:
        time.sleep(600)

serve(perform)
"""


def statuses(folder: Path, *tasks: str, jobs: int = 2) -> dict[str, int]:
    work = [Work(task, folder / f"{task}.log", 3) for task in tasks]
    return {each.task: status for each, status in run_workers(PROGRAM, work, jobs)}


def test_each_task_has_its_process_its_log_and_its_status(tmp_path: Path):
    found = statuses(tmp_path, "a", "fail", "stop")
    assert found == {"a": 0, "fail": 1, "stop": INTERRUPTED}
    assert (tmp_path / "a.log").read_text() == "a 3 3\n"
    assert "ValueError: on purpose" in (tmp_path / "fail.log").read_text()


def test_a_log_is_continued(tmp_path: Path):
    statuses(tmp_path, "a")
    statuses(tmp_path, "a")
    assert (tmp_path / "a.log").read_text() == "a 3 3\n" * 2


def test_a_worker_ends_with_its_parent(tmp_path: Path):
    parent = f"""
from pathlib import Path
from speechgru.workers import Work, run_workers
list(run_workers({PROGRAM!r},
                 [Work("sleep", Path({str(tmp_path / "log")!r}), 1)], 1))
"""
    process = subprocess.Popen([sys.executable, "-c", parent])
    deadline = time.monotonic() + 120
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("this system does not list a process's children")
    (worker,) = map(int, children.read_text().split())
    process.kill()
    process.wait()
    while Path(f"/proc/{worker}").exists() and _state(worker) != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_ctrl_c_of_a_terminal_does_not_reach_workers(tmp_path: Path):
    """It goes to the terminal's process group; a worker is in another."""
    worker = workers._start(PROGRAM, Work("sleep", tmp_path / "log", 1))
    assert os.getpgid(worker.pid) != os.getpgrp()
    worker.kill()
    workers._close_input(worker)
    assert worker.wait(60) == -signal.SIGKILL


class Process:
    """A process that has ended when it is polled for the `polls`-th time."""

    returncode = 0

    def __init__(self, polls: int) -> None:
        self.stdin, self.polls, self.signals, self.waited = io.BytesIO(), polls, 0, False

    def poll(self) -> int | None:
        self.polls -= 1
        return None if self.polls > 0 else self.returncode

    def terminate(self) -> None:
        self.signals += 1

    def wait(self) -> int:
        self.waited = True
        return self.returncode


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Process]]:
    """Stand-ins by their tasks; the later in the alphabet, the longer they take."""
    found: dict[str, Process] = {}

    def start(program: str, work: Work) -> Process:
        found[work.task] = Process(1 + ord(work.task) - ord("a"))
        return found[work.task]

    monkeypatch.setattr(workers, "_start", start)
    monkeypatch.setattr(workers.time, "sleep", lambda _: None)
    yield found
    assert all(process.stdin.closed for process in found.values())


def work_of(tasks: str) -> list[Work]:
    return [Work(task, Path("log"), 1) for task in tasks]


def test_never_more_than_the_jobs_run_at_a_time(started: dict[str, Process]):
    done = []
    for each, _ in run_workers("", work_of("ceabd"), 2):
        done.append(each.task)
        assert len(started) - len(done) < 2  # the next one is started after this
    assert "".join(done) == "caebd"  # as they finish: a starts when c has ended, before e
    assert not any(process.signals for process in started.values())


def test_those_that_run_get_one_signal_and_are_awaited(started: dict[str, Process]):
    results = run_workers("", work_of("azb"), 2)
    assert next(results)[0].task == "a"
    results.close()  # type: ignore[attr-defined]  # as Ctrl-C does, or any error in the loop
    assert list(started) == ["a", "z"]
    assert (started["a"].signals, started["z"].signals) == (0, 1)
    assert started["z"].waited
