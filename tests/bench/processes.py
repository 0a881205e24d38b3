"""What the processes of an installation cost."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Final

from infra.launch import Installation

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NAMES: Final = (
    ("worker\0asr", "asr"),
    ("worker\0insights", "insights"),
    ("infra.main\0serve", "serve"),
    ("postgres", "postgres"),
    ("redis", "redis"),
    ("valkey", "redis"),
)


def cpu_s(running: Installation) -> float:
    """Return the CPU seconds that the installation's programs have used, without its database and Redis."""
    return sum(cpu_of_s(pid) for name in ("serve", "asr", "insights") if (pid := running.supervisor.pid(name)))


def cpu_of_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, and those of its children that have ended; 0 if it has."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / _TICKS


def cpu_by_program_s() -> dict[str, float]:
    """Return the CPU seconds of this process (`bench`) and of all below it, by what they are."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    used: dict[str, float] = defaultdict(float)
    times = os.times()
    used["bench"] = times.user + times.system
    for pid in parents:
        above = parents.get(pid)
        while above is not None and above not in {os.getpid(), 0}:
            above = parents.get(above)
        if above == os.getpid():
            used[_name(pid)] += cpu_of_s(pid)
    return dict(used)


def _name(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return "other"
    return next((name for part, name in _NAMES if part in command), "other")
