"""How much memory this process has used at the most."""

from __future__ import annotations

import resource


def peak_mib() -> float:
    """Peak resident set size of this process in MiB (Linux reports KiB)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
