"""How many CPUs: OMP_NUM_THREADS, affinity, cgroup quotas, and platforms without these."""

import math
import os
import subprocess
import sys

import pytest
import torch

from speechgru import cpus
from speechgru.cli.options import use_threads
from speechgru.kernels import threads


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: math.inf)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2", 2), (" 3 ", 3), ("4,2", 4), ("16", 8), ("", 8), ("0", 8), ("-1", 8), ("many", 8)],
)
def test_omp_num_threads_is_respected(eight, monkeypatch, value, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cpus.cpu_count() == expected
    assert cpus.usable_cpus() == 8


@pytest.mark.parametrize(("quota", "expected"), [(2.0, 2), (2.9, 2), (0.5, 1), (100, 8)])
def test_a_quota_is_respected_and_rounded_down(eight, monkeypatch, quota, expected):
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: quota)
    assert cpus.cpu_count() == cpus.usable_cpus() == expected


def test_without_affinity_all_cpus_count(eight, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpus.cpu_count() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # unknown
    assert cpus.cpu_count() == 1


HYBRID = "2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense"}, math.inf),
        # a limit of a group above ours, as systemd sets it for a user's slice
        (
            {
                "proc/self/cgroup": "0::/user/job/step\n",
                "sys/fs/cgroup/user/job/step/cpu.max": "max 100000\n",
                "sys/fs/cgroup/user/cpu.max": "150000 100000\n",
            },
            1.5,
        ),
        # version 1, in a container: the path is the host's
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/0123\n3:cpuset:/docker/0123\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": HYBRID,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            math.inf,
        ),
    ],
)
def test_quotas_of_both_cgroup_versions(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpus.cgroup_quota(tmp_path) == expected


def test_a_layer_runs_where_there_is_no_affinity_and_no_fork():
    """As on Windows and macOS, where these functions of `os` do not exist."""
    program = """
import os, torch  # torch itself asks sys.platform what there is
del os.sched_getaffinity, os.register_at_fork, os.fork
from speechgru.cells import CELLS, RecurrentLayer
from speechgru.cli.options import use_threads
use_threads(0)
layer = RecurrentLayer(CELLS["gru"], 3, 4, bidirectional=True)
layer(torch.zeros(2, 5, 3), torch.tensor([5, 4]))[0].sum().backward()
print(torch.get_num_threads())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"


@pytest.mark.parametrize(("option", "omp", "expected"), [(0, "2", 2), (3, "2", 3), (0, "many", 8)])
def test_an_explicit_number_of_threads_overrides_the_environment(
    eight, monkeypatch, option, omp, expected
):
    monkeypatch.setenv("OMP_NUM_THREADS", omp)
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    use_threads(option)
    assert asked == [expected]


def test_kernels_use_no_more_threads_than_a_quota_allows(eight, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert threads.limit() in (1, 4)  # 1: no kernels on this platform
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: 1.0)
    assert threads.limit() == 1
