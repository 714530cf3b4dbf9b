"""How much memory this process has used at the most."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Peak resident set size of this process in MiB.

    Not `getrusage`, where the kernel says: what a process has used before its exec, and so what its parent had, counts there.
    """
    if _STATUS.exists():
        return round(int(_STATUS.read_text().split("VmHWM:")[1].split()[0]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
