"""What this machine is: processor, instruction sets, cores, caches, and the tier they make."""

import os
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

from speechgru.errors import SpeechgruError

Tier = Literal["strong", "any"]
STRONG_CACHE = 2 << 20  # bytes of second-level cache that each core of a strong machine has
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
"""What Linux calls an instruction set in /proc/cpuinfo, and people elsewhere."""


@dataclass(frozen=True)
class Machine:
    """Of the processors that this process may use."""

    processor: str
    instructions: tuple[str, ...]  # that it has, whether anybody uses them or not
    used: str  # the set that torch and our kernels keep to: AVX512, AVX2, DEFAULT
    processors: int  # as the system counts them
    cores: int  # fewer than processors where two of these share one
    core_cache: int | None  # bytes of second-level cache a core; None: the system does not say
    threads: int

    @property
    def tier(self) -> Tier:
        """strong: two cores or more at work, with AVX-512 and 2 MB of second-level cache each."""
        wide = self.used.startswith("AVX512")
        enough = (self.core_cache or 0) >= STRONG_CACHE
        return "strong" if min(self.cores, self.threads) >= 2 and wide and enough else "any"

    def facts(self) -> dict[str, str]:
        """Rows (name → value in words)."""
        cache = "?" if self.core_cache is None else f"{self.core_cache / (1 << 20):g} MB"
        rule = "two cores or more at work, with AVX-512 and 2 MB of second-level cache each"
        return {
            "processor": f"{self.processor}: {self.processors} processors, {self.cores} cores as "
            f"the system says, {cache} of second-level cache a core",
            "instructions": f"{', '.join(self.instructions) or 'unknown'}; in use: {self.used}",
            "threads": str(self.threads),
            "tier": f"strong ({rule})" if self.tier == "strong" else f"any (strong is: {rule})",
        }


def this_machine(threads: int = 0, system: Path = Path("/")) -> Machine:
    """Facts from /proc and /sys under `system`; `threads` 0: one a processor.

    Raises SpeechgruError for more threads than there are processors.
    """
    usable = sorted(os.sched_getaffinity(0))
    if not 0 <= threads <= len(usable):
        raise SpeechgruError(
            f"--threads {threads}: this process may use {len(usable)} processors, "
            "and more threads than that would only wait for each other"
        )
    name, flags = _cpuinfo(system / "proc/cpuinfo")
    cores = [_core(system, number) for number in range(os.cpu_count() or 1)]
    caches = [_core_cache(system, number, cores) for number in usable]
    known = [size for size in caches if size is not None]
    return Machine(
        processor=name,
        instructions=tuple(shown for flag, shown in FLAGS.items() if flag in flags),
        used=torch.backends.cpu.get_cpu_capability(),
        processors=len(usable),
        cores=len({cores[number] for number in usable}),
        core_cache=min(known) if len(known) == len(caches) else None,
        threads=threads or len(usable),
    )


def versions() -> dict[str, str]:
    """Of the libraries whose code is timed."""
    names = ("torch", "numba", "onnxruntime")
    return {name: metadata.version(name) for name in names if find_spec(name) is not None}


def _cpuinfo(path: Path) -> tuple[str, set[str]]:
    """The processor's name and flags; of the first one, for they are alike."""
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
    """What two processors of one core have in common."""
    folder = system / f"sys/devices/system/cpu/cpu{number}/topology"
    core = _read(folder / "core_id") or f"processor {number}"
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
