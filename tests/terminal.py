"""A program in a real pseudo-terminal: what its screen shows, keys pressed, and how the terminal is left."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROWS, COLUMNS, DEADLINE_S = 50, 160, 120.0
HOME = "\x1b[H"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])(?:;\d+)*m")


class Terminal:
    """Runs `command` until it ends or the terminal is closed."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._theirs, self.output = theirs, ""
        self._before = termios.tcgetattr(theirs)
        known = dict(env) | {"TERM": "xterm-256color"}
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=known)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._own)
        os.close(self._theirs)

    def press(self, keys: str) -> None:
        """As if somebody typed them."""
        os.write(self._own, keys.encode())

    def screen(self) -> str:
        """The newest picture, without what steers the terminal."""
        return ESCAPE.sub("", self.output.rpartition(HOME)[2])

    def until(self, shown: Callable[[str], bool]) -> str:
        """Read until the screen is so."""
        deadline = time.monotonic() + DEADLINE_S
        while not shown(self.screen()):
            assert time.monotonic() < deadline, self.output[-5000:]
            assert self._process.poll() is None or self._read(), self.output[-5000:]
            self._read()
        return self.screen()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        deadline = time.monotonic() + DEADLINE_S
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.output[-5000:]
            self._read()
        while self._read():
            pass
        return self._process.returncode

    def restored(self) -> bool:
        """Whether the terminal's settings are what they were."""
        now: list[Any] = termios.tcgetattr(self._theirs)
        return bool(now == self._before)

    def _read(self) -> bool:
        if not select.select([self._own], [], [], 0.1)[0]:
            return False
        with suppress(OSError):
            self.output += os.read(self._own, 65_536).decode(errors="replace")
        return True
