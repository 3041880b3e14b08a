"""The CPU and memory that processes use, from Linux's /proc."""

import os
from pathlib import Path
from typing import Final

CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


def peak_memory_mb(pid: int) -> float:
    """Return the peak resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak) / 1024


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process and its direct children, including ended ones, have used."""
    own = _times(pid)
    if own is None:
        return 0.0
    children = [
        times
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and (times := _times(int(process.name))) is not None and times[0] == pid
    ]
    return (own[1] + own[2] + sum(child[1] for child in children)) / CLOCK_TICKS


def _times(pid: int) -> tuple[int, int, int] | None:
    """Return the parent's pid, and the CPU ticks of the process and of its ended children; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system, children_user, children_system = map(int, fields[11:15])
    return int(fields[1]), user + system, children_user + children_system
