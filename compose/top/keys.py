"""Single keys from a terminal, without waiting for a line."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Lends a function that waits so many seconds for a key; "" when none came. The terminal is restored at the end."""
    stream = sys.stdin.fileno()
    before = termios.tcgetattr(stream)
    tty.setcbreak(stream)

    def next_key(seconds: float) -> str:
        ready, _, _ = select.select([stream], [], [], max(0.0, seconds))
        # Past Python's buffer: what it holds, select does not see.
        return os.read(stream, 1).decode(errors="replace") if ready else ""

    try:
        yield next_key
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)
