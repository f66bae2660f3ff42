"""The processor according to /proc and /sys, and its tier."""

import os

import pytest
import torch

from benchmarks.layers.machine import Processor, this_machine
from speechgru import cpus
from speechgru.errors import SpeechgruError

XEON = "processor : 0\nmodel name : A Xeon\nflags : fpu avx2 avx512f avx512_bf16 amx_tile\n\n"


def machine(**changes):
    values = {
        "processor": "A Xeon", "instructions": ("AVX-512",), "used": "AVX512", "processors": 2,
        "cores": 2, "core_cache": 2 << 20, "threads": 2,
    }  # fmt: skip
    return Processor(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "tier"),
    [
        ({}, "strong"),
        ({"processors": 8, "cores": 8, "threads": 2}, "strong"),
        ({"used": "AVX2"}, "any"),  # limited to it, whatever the processor has
        ({"threads": 1}, "any"),
        ({"cores": 1}, "any"),  # two processors of one core
        ({"core_cache": 1 << 20}, "any"),
        ({"core_cache": None}, "any"),
    ],
)
def test_a_strong_machine_has_two_cores_avx512_and_a_large_cache(changes, tier):
    assert machine(**changes).tier == tier
    assert machine(**changes).facts()["tier"].startswith(tier)


def write_system(root, cores, caches):
    """/proc and /sys of processors with these core numbers and (size, shared list) caches."""
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(XEON * len(cores))
    for number, (core, (size, shared)) in enumerate(zip(cores, caches, strict=True)):
        folder = root / f"sys/devices/system/cpu/cpu{number}"
        files = {
            "topology/core_id": core, "topology/physical_package_id": 0,
            "cache/index0/level": 1, "cache/index0/size": "48K",
            "cache/index2/level": 2, "cache/index2/size": size,
            "cache/index2/shared_cpu_list": shared,
        }  # fmt: skip
        for name, value in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{value}\n")


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: 4.0)
    monkeypatch.delenv("OMP_NUM_THREADS")


@pytest.mark.parametrize(
    ("cores", "shared", "cache"),
    [
        ((0, 1, 2, 3), ("0", "1", "2", "3"), 2 << 20),
        ((0, 0, 1, 1), ("0-1", "0-1", "2,3", "2,3"), 2 << 20),  # a cache per core
        ((0, 1, 2, 3), ("0-3", "0-3", "0-3", "0-3"), 1 << 19),  # one cache for four cores
    ],
)
def test_cores_and_their_caches(four, tmp_path, cores, shared, cache):
    write_system(tmp_path, cores, [("2048K", one) for one in shared])
    found = this_machine(0, tmp_path)
    assert (found.processors, found.cores, found.core_cache) == (4, len(set(cores)), cache)
    assert found.processor == "A Xeon"
    assert found.instructions == ("AVX2", "AVX-512", "AVX-512 BF16", "AMX")
    assert found.used == torch.backends.cpu.get_cpu_capability()
    assert found.threads == 4


def test_a_system_without_these_files(four, tmp_path):
    found = this_machine(2, tmp_path)
    assert (found.processor, found.cores, found.core_cache) == ("unknown", 4, None)
    assert found.tier == "any"
    assert "?" in found.facts()["processor"]


def test_more_threads_than_processors_are_refused(four):
    with pytest.raises(SpeechgruError, match=r"--threads 5.* 4 "):
        this_machine(5)
