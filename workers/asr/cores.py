"""How much of the machine is ours: cores and memory, as far as affinity and cgroups let us."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")
MOST_THREADS: Final = 4
"""More threads on one short stretch of speech wait for each other more than they work; run more workers instead."""


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores this process may keep busy, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, cores if quota is None else min(cores, math.floor(quota)))


def recogniser_threads(asked: int, cores: int) -> int:
    """Return the threads of one recognition: what was asked for, 0 = one core left for the tracks; never above all."""
    return min(asked, cores) if asked else max(1, min(cores - 1, MOST_THREADS))


def recogniser_lanes(threads: int, cores: int) -> int:
    """Return how many recognitions of so many threads each may run at once."""
    return max(1, cores // threads)


def memory_left_bytes(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Return how much more memory can be had without swapping or being killed."""
    left = [_available(meminfo)]
    for most, used in (
        (cgroup / "memory.max", cgroup / "memory.current"),
        (cgroup / "memory/memory.limit_in_bytes", cgroup / "memory/memory.usage_in_bytes"),
    ):
        limit, usage = _number(most), _number(used)
        if limit is not None and usage is not None:
            left.append(int(limit - usage))
    return max(0, min(left))


def _quota(cgroup: Path) -> float | None:
    """Return the CPU quota in cores of cgroup version 2 or 1; None where there is none."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError):
        allowed, period_us = _number(cgroup / "cpu/cpu.cfs_quota_us"), _number(cgroup / "cpu/cpu.cfs_period_us")
        return allowed / period_us if allowed and period_us and allowed > 0 else None


def _available(meminfo: Path) -> int:
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass  # not Linux: nobody knows, so there is none to spare
    return 0


def _number(file: Path) -> float | None:
    try:
        return float(file.read_text())
    except (OSError, ValueError):  # "max" is no number either
        return None
