"""Whether this machine's clock is kept right, and agrees with the servers'."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple

from compose.doctor.finding import good, warning

if TYPE_CHECKING:
    from compose.doctor.finding import Finding

ABOUT = "clock"
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
KEEP = "run chrony or systemd-timesyncd; without right time samples count as late or from the future"
WORST_MS = 2000
"""A server tells its time in whole seconds."""


class KernelClock(NamedTuple):
    """What the kernel knows: whether somebody keeps the clock right, and how far off it is at the most."""

    kept: bool
    most_off_ms: float


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_char * 512),  # more than any kernel writes
    )


def kernel_clock() -> KernelClock | None:
    """Asks adjtimex(2), which changes nothing when no mode is set; None where it may not be asked."""
    told = _Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else KernelClock(state != TIME_ERROR, told.maxerror / 1000)


def look_at_clock(kernel: KernelClock | None) -> Finding:
    """What the kernel's word means."""
    if kernel is None:
        return warning(ABOUT, "the kernel does not say whether this clock is kept right", KEEP)
    if not kernel.kept:
        return warning(ABOUT, "nobody keeps this machine's clock right", KEEP)
    return good(ABOUT, f"kept right, at most {kernel.most_off_ms:.0f} ms off")


def compared(server: str, theirs: int, ours: int) -> Finding:
    """This clock beside a server's, both in ms."""
    off = ours - theirs
    if abs(off) > WORST_MS:
        where = "ahead of" if off > 0 else "behind"
        return warning(ABOUT, f"{abs(off) / 1000:.0f} s {where} {server}", KEEP)
    return good(ABOUT, f"agrees with {server}")
