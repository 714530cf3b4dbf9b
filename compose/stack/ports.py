"""Free TCP ports on loopback that stay free while a server is stopped, and that nobody else was just told."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compose.stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
LOWEST = 15_000
ATTEMPTS = 500
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LONGEST = 16
"""Bytes of a port number in the file that remembers the last one."""


def free_port(remembered: Path | None = None) -> int:
    """A port below the range from which the kernel takes the near ends of connections.

    From inside that range, a client that keeps trying to reach a stopped server may be given the server's own port, and
    the server could not come back. A port is free until its server listens, so the user's processes take turns: each is
    told the next one after the last that any of them was told, which the file `remembered` keeps. Raises StackError when
    none is found.
    """
    end = _end()
    with _last(remembered or Path(tempfile.gettempdir()) / f"tidegate-port-{os.getuid()}") as file:
        last = _number(os.pread(file, LONGEST, 0), end)
        for step in range(1, ATTEMPTS + 1):
            port = LOWEST + (last - LOWEST + step) % (end - LOWEST)
            if is_free(port):
                os.pwrite(file, f"{port:{LONGEST}}".encode(), 0)
                return port
    raise StackError(f"no free TCP port on {LOOPBACK} between {LOWEST} and {end} in {ATTEMPTS} tries after {last}")


def is_free(port: int) -> bool:
    """Whether a server could listen there now (connections in TIME_WAIT do not count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


@contextmanager
def _last(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _number(text: bytes, end: int) -> int:
    with suppress(ValueError):
        if LOWEST <= int(text) < end:
            return int(text)
    return random.SystemRandom().randrange(LOWEST, end)


def _end() -> int:
    with suppress(OSError, ValueError, IndexError):
        lowest_ephemeral = int(EPHEMERAL.read_text().split()[0])
        if lowest_ephemeral > LOWEST + 1000:
            return lowest_ephemeral
    return 32_768
