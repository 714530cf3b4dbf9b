"""Child processes that outlive their starter, and are known again by their pid and start time."""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SAME_START_S = 1.5  # psutil adds to the boot time, which the kernel tells in whole seconds and moves with the clock
PATIENCE_S = 25.0
POLL_S = 0.05
# Ignored signals are inherited: Python ignores SIGPIPE, and a shell's background jobs ignore SIGINT.
ORDINARY = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "JAVA_HOME")


class OwnedProcess(msgspec.Struct, frozen=True):
    """A process of ours. `started` is psutil's creation time, in seconds since the epoch."""

    pid: int
    started: float


def launch(argv: Sequence[str], *, home: Path, log: Path, env: Mapping[str, str]) -> OwnedProcess:
    """Starts a server in its own session, its output appended to `log`, with an environment that carries no secrets."""
    kept = {key: env[key] for key in KEPT if key in env} | {"HOME": str(home)}
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(argv[0], list(argv), kept, file_actions=actions, setsid=True, setsigdef=ORDINARY)
    return OwnedProcess(pid, psutil.Process(pid).create_time())


def find(owned: OwnedProcess | None) -> psutil.Process | None:
    """The process if it still runs and still is the one that was started."""
    if owned is None:
        return None
    try:
        process = psutil.Process(owned.pid)
        if abs(process.create_time() - owned.started) > SAME_START_S:
            return None
        if not _dead(process):
            return process
        _reap(owned.pid)
    except psutil.NoSuchProcess:
        pass
    return None


def end(owned: OwnedProcess | None, how: signal.Signals, patience_s: float = PATIENCE_S) -> bool:
    """Sends `how`, waits, and kills what is still there; False when there was nothing of ours to end."""
    process = find(owned)
    if owned is None or process is None:
        return False
    with suppress(psutil.NoSuchProcess):
        process.send_signal(how)
        if not _gone(owned, patience_s):
            process.send_signal(signal.SIGKILL)
            _gone(owned, patience_s)
    return True


def _gone(owned: OwnedProcess, patience_s: float) -> bool:
    for _ in range(math.ceil(patience_s / POLL_S)):
        if find(owned) is None:
            return True
        time.sleep(POLL_S)
    return False


def _dead(process: psutil.Process) -> bool:
    # A killed JVM is a zombie at once; its threads, and with them its sockets, go a moment later.
    return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1


def _reap(pid: int) -> None:
    """Lets a dead child of this very process go; other processes' children are theirs."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
