"""How tasks are carried out here, and by workers; those are stubs, test_kill has real ones."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from speechgru.compare import place
from speechgru.compare.place import Here, Workers
from speechgru.compare.work import Task
from speechgru.recipe import Recipe


def task(name: str, threads: int = 1) -> Task:
    return Task(name, "gru", 1, "", Recipe(), None, "", "folder", "result", "cpu", threads)


def test_here_a_training_has_its_threads_and_they_are_put_back(monkeypatch: pytest.MonkeyPatch):
    before, seen = torch.get_num_threads(), []

    def perform(task: Task, on_step: object) -> dict[str, Any]:
        seen.append(torch.get_num_threads())
        if task.name == "stopped":
            raise KeyboardInterrupt
        return {}

    monkeypatch.setattr(place, "perform", perform)
    for _ in Here().run([task("a", before + 1), task("b", before + 2)]):
        assert torch.get_num_threads() == before
    with pytest.raises(KeyboardInterrupt):
        list(Here().run([task("stopped", before + 3)]))
    assert seen == [before + 1, before + 2, before + 3]
    assert torch.get_num_threads() == before


class Worker:
    """A process that has ended when it is asked for the `polls`-th time."""

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


def test_a_worker_is_told_its_task_and_threads_and_hears_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A shell in place of Python. Ctrl-C goes to a process group: the worker is in another."""
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS $MKL_NUM_THREADS"\ncat\n')
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    given = replace(task("a", threads=3), folder=str(tmp_path / "runs" / "a"))
    worker = place._start(given)
    assert os.getpgid(worker.pid) != os.getpgrp()
    place._close(worker)
    assert worker.wait(60) == 0
    threads, said = (tmp_path / "runs" / "a" / "worker.log").read_text().splitlines()
    assert threads == "3 3"
    assert Task.from_json(said) == given


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Worker]:
    """All that were started, by their tasks' names; the later in the alphabet, the longer."""
    started: dict[str, Worker] = {}

    def start(task: Task) -> Worker:
        started[task.name] = Worker(1 + ord(task.name) - ord("a"))
        return started[task.name]

    monkeypatch.setattr(place, "_start", start)
    monkeypatch.setattr(place, "_result", lambda task, status: {"run": task.name})
    monkeypatch.setattr(place.time, "sleep", lambda _: None)
    return started


def test_never_more_than_so_many_work_at_a_time(workers: dict[str, Worker]):
    done = []
    for finished, result in Workers(2).run([task(name) for name in "ceabd"]):
        assert result["run"] == finished.name
        done.append(finished.name)
        assert len(workers) - len(done) < 2  # who comes next is started after this
    assert "".join(done) == "caebd"  # as they come: a is started when c has ended, before e
    assert all(worker.stdin.closed for worker in workers.values())
    assert not any(worker.signals for worker in workers.values())


def test_who_works_when_the_grid_is_stopped_gets_one_signal_and_is_awaited(
    workers: dict[str, Worker],
):
    course = Workers(2).run([task(name) for name in "azb"])
    assert next(course)[0].name == "a"
    course.close()  # as Ctrl-C does, or any fault in the loop
    assert list(workers) == ["a", "z"]
    assert (workers["a"].signals, workers["z"].signals) == (0, 1)
    assert workers["z"].waited
    assert all(worker.stdin.closed for worker in workers.values())
