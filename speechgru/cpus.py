"""How many CPUs this process may use.

Every limit set by an operating system, a container or a batch system is respected; one that a
platform does not have is no limit.
"""

import math
import os
from functools import cache
from pathlib import Path


def cpu_count() -> int:
    """The default number of threads: `usable_cpus`, but no more than OMP_NUM_THREADS."""
    usable = usable_cpus()
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # "4,2": nested loops
    return min(usable, int(asked)) if asked.isdecimal() and int(asked) > 0 else usable


def usable_cpus() -> int:
    """CPUs that this process may run on, within its cgroup's quota; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:  # macOS, Windows
        allowed = os.cpu_count() or 1
    # Rounded down: a process that exceeds its quota is halted as a whole, spinning threads or not.
    return max(1, math.floor(min(allowed, cgroup_quota())))


@cache
def cgroup_quota(system: Path = Path("/")) -> float:
    """CPUs allowed by this process's cgroup and those above it (`docker --cpus`, Kubernetes'
    limits, systemd's CPUQuota); infinite without a quota. /proc and /sys are those in `system`.
    """
    mounts = {"": system / "sys/fs/cgroup", "cpu": system / "sys/fs/cgroup/cpu"}  # version 2, 1
    quotas = [math.inf]
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in {"", "cpu"} & set(controllers.split(",")):
            mount = mounts[controller]
            own = mount / path.lstrip("/")
            # In a container the path can be the host's while only the mount itself is visible.
            for folder in {mount, own, *own.parents} - set(mount.parents):
                quota, period = (
                    _read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
                )
                quotas += [_ratio(_read(folder / "cpu.max")), _ratio(f"{quota} {period}")]
    return min(quotas)


def _ratio(quota_and_period: str) -> float:
    """ "200000 100000" → 2; infinite for "max 100000", "-1 100000" (no quota) and unknown text."""
    match quota_and_period.split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
            return int(quota) / int(period)
    return math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
