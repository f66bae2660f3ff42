"""This machine: processor, instruction sets, cores, caches, and the tier that follows."""

import os
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

from speechgru.cpus import cpu_count, usable_cpus
from speechgru.errors import SpeechgruError

Tier = Literal["strong", "any"]
STRONG_CACHE = 2 << 20  # bytes of second-level cache per core of a strong machine
FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_fp16": "AVX-512 FP16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX BF16",
    "amx_int8": "AMX INT8",
}
"""Instruction sets: their names in /proc/cpuinfo and elsewhere."""


@dataclass(frozen=True)
class Processor:
    """The CPUs that this process may use."""

    processor: str
    instructions: tuple[str, ...]  # that it has
    used: str  # the set that torch and our kernels use: AVX512, AVX2, DEFAULT
    processors: int  # as the system counts them
    cores: int  # fewer than processors if two share a core
    core_cache: int | None  # bytes of second-level cache per core; None: unknown
    threads: int

    @property
    def tier(self) -> Tier:
        """strong: two cores or more in use, with AVX-512 and 2 MB of second-level cache each."""
        wide = self.used.startswith("AVX512")
        enough = (self.core_cache or 0) >= STRONG_CACHE
        return "strong" if min(self.cores, self.threads) >= 2 and wide and enough else "any"

    def facts(self) -> dict[str, str]:
        """Rows to print: name → value."""
        cache = "?" if self.core_cache is None else f"{self.core_cache / (1 << 20):g} MB"
        rule = "two cores or more in use, with AVX-512 and 2 MB of second-level cache each"
        return {
            "processor": f"{self.processor}: {self.processors} CPUs, {self.cores} cores according "
            f"to the system, {cache} of second-level cache per core",
            "instructions": f"{', '.join(self.instructions) or 'unknown'}; in use: {self.used}",
            "threads": str(self.threads),
            "tier": f"strong ({rule})" if self.tier == "strong" else f"any (strong: {rule})",
        }


def this_machine(threads: int = 0, system: Path = Path("/")) -> Processor:
    """Facts from /proc and /sys under `system`; `threads` 0: `cpu_count()`.

    Raises SpeechgruError for more threads than usable CPUs.
    """
    if not 0 <= threads <= usable_cpus():
        raise SpeechgruError(
            f"--threads {threads}: this process may use {usable_cpus()} CPUs; more threads than "
            "CPUs wait for each other"
        )
    ids = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(usable_cpus())
    usable = sorted(ids)
    name, flags = _cpuinfo(system / "proc/cpuinfo")
    cores = [_core(system, number) for number in range(os.cpu_count() or 1)]
    caches = [_core_cache(system, number, cores) for number in usable]
    known = [size for size in caches if size is not None]
    return Processor(
        processor=name,
        instructions=tuple(shown for flag, shown in FLAGS.items() if flag in flags),
        used=torch.backends.cpu.get_cpu_capability(),
        processors=len(usable),
        cores=len({cores[number] for number in usable}),
        core_cache=min(known) if len(known) == len(caches) else None,
        threads=threads or cpu_count(),
    )


def versions() -> dict[str, str]:
    """Of the libraries that are timed."""
    names = ("torch", "numba", "onnxruntime")
    return {name: metadata.version(name) for name in names if find_spec(name) is not None}


def _cpuinfo(path: Path) -> tuple[str, set[str]]:
    """The name and flags of the first CPU."""
    name, flags = "unknown", set[str]()
    for line in _read(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() == "flags":
            flags = set(value.split())
        elif not line.strip() and flags:
            break
    return name, flags


def _core(system: Path, number: int) -> tuple[str, str]:
    """An identifier of the core that a CPU belongs to."""
    folder = system / f"sys/devices/system/cpu/cpu{number}/topology"
    core = _read(folder / "core_id") or f"cpu {number}"
    return _read(folder / "physical_package_id"), core


def _core_cache(system: Path, number: int, cores: list[tuple[str, str]]) -> int | None:
    """Bytes of second-level cache, divided among the cores that share it."""
    for folder in sorted((system / f"sys/devices/system/cpu/cpu{number}/cache").glob("index*")):
        size = _read(folder / "size")
        if _read(folder / "level") == "2" and size.endswith("K"):
            sharing = _numbers(_read(folder / "shared_cpu_list")) or [number]
            return (int(size[:-1]) << 10) // len({cores[n] for n in sharing if n < len(cores)})
    return None


def _numbers(text: str) -> list[int]:
    """ "0-1,4" → [0, 1, 4]"""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
