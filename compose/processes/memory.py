"""What a gateway does not need at the moment is given back to the system: it may have a gigabyte for everything."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_YOUNG = 50_000
"""New containers between two looks of the garbage collector."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt(3)."""
_LARGE_BYTES, _KEPT_BYTES = 2 * 1024 * 1024, 16 * 1024 * 1024
TRIM_S = 5.0


def collect_rarely() -> None:
    """Look for garbage seldom: a gateway makes millions of short-lived tuples a second and hardly a cycle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MOST_YOUNG, 20, 20)


class SpareMemory:
    """A service that has the C library give back what bursts and large arrays leave behind, every `TRIM_S`.

    What a commit needs, the next one needs again: fetching those pages anew from the kernel each time took a fifth of all
    of the gateway's time. But what the first minute of ten thousand new devices needed is never needed again, and glibc
    would learn from the first large array to keep the place of all others. With another C library nothing happens.
    """

    name = "memory"

    def __init__(self) -> None:
        self._draining = asyncio.Event()
        self._trim: Callable[[int], int] | None = None
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
            libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
            libc.mallopt(_ARENA_MAX, 2)
            self._trim = libc.malloc_trim

    def drain(self) -> None:
        """Return from `run`."""
        self._draining.set()

    async def run(self) -> None:
        """Until drained."""
        while not self._draining.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), TRIM_S)
            if self._trim:
                await asyncio.to_thread(self._trim, 0)
