"""Time and memory that a call takes on this machine."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

REPEATS = 5  # of each timing; the median counts


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within the context, torch uses `count` CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_ratio(
    candidate: Callable[[], object], reference: Callable[[], object], device: torch.device
) -> float:
    """Seconds of `candidate` ÷ those of `reference`: medians of REPEATS calls each, in turn, so
    that a change in the machine's speed affects both; after one warm-up call each."""

    def seconds(run: Callable[[], object]) -> float:
        synchronise(device)
        began = time.perf_counter()
        run()
        synchronise(device)
        return time.perf_counter() - began

    candidate()
    reference()
    pairs = [(seconds(candidate), seconds(reference)) for _ in range(REPEATS)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


class Stopwatch:
    """Times calls, and records for how much of the time a single thread was running."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._wall = self._cpu = 0.0

    @property
    def cpu_share(self) -> float:
        """Near 1 on an idle machine."""
        return self._cpu / self._wall if self._wall else 1.0

    def median(self, run: Callable[[], object], threads: int) -> float:
        """Seconds: the median of REPEATS calls, after one to warm up."""
        with torch_threads(threads):
            run()
            times = []
            for _ in range(REPEATS):
                synchronise(self.device)
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                synchronise(self.device)
                times.append(time.perf_counter() - wall)
                if threads == 1:
                    self._wall += times[-1]
                    self._cpu += time.process_time() - cpu
            return statistics.median(times)


def memory_use(run: Callable[[], object], device: torch.device) -> tuple[int, int] | None:
    """Bytes in use before a call, and the most during it: of the process, or of the tensors on a
    GPU. None where the system does not report them."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return before, torch.cuda.max_memory_allocated(device)
    return_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to what is in use
        before = status_bytes("VmRSS")
        run()
        return before, max(before, status_bytes("VmHWM"))
    except (OSError, AttributeError):
        return None


def return_memory() -> None:
    """Return freed memory to the system, where the C library can (glibc). It keeps what is
    between memory in use, and more of it the more arrays of different sizes were made."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def status_bytes(key: str) -> int:
    """A size in Linux's /proc/self/status, which counts in kB: VmRSS is resident now, VmHWM at most
    so far."""
    words = Path("/proc/self/status").read_text().split()
    return 1024 * int(words[words.index(f"{key}:") + 1])


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}"
