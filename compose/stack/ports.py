"""Free TCP ports on loopback that stay free while a server is stopped."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

from compose.stack.errors import StackError

LOOPBACK = "127.0.0.1"
LOWEST = 15_000
ATTEMPTS = 500
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(rng: random.Random | None = None) -> int:
    """A port below the range from which the kernel takes the near ends of connections.

    From inside that range, a client that keeps trying to reach a stopped server may be given the server's own port, and
    the server could not come back. Raises StackError when none is found.
    """
    numbers = rng or random.SystemRandom()
    for _ in range(ATTEMPTS):
        port = numbers.randrange(LOWEST, _end())
        if is_free(port):
            return port
    raise StackError(f"no free TCP port on {LOOPBACK} between {LOWEST} and {_end()} in {ATTEMPTS} tries")


def is_free(port: int) -> bool:
    """Whether a server could listen there now (connections in TIME_WAIT do not count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _end() -> int:
    with suppress(OSError, ValueError, IndexError):
        lowest_ephemeral = int(EPHEMERAL.read_text().split()[0])
        if lowest_ephemeral > LOWEST + 1000:
            return lowest_ephemeral
    return 32_768
