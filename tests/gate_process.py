"""Gates as processes that start at once: `python -m tests.gate_process` forks one for each line `start FOLDER DIE_AT`.

It answers with the process id. A line `wait` waits for the last one's end and answers with its wait status. The folder
holds the log, the signing key, the list of gateways and, if need be, settings of the gate's own (`gate.json`).
With DIE_AT above 0 the process kills itself (SIGKILL) just before that call among those that leave something behind: the
transaction of a step, appending to the log, noting what was appended, committing offsets.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import msgspec

from analytics.rollouts.config import GateConfig
from analytics.rollouts.service import build_gate
from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.log.sqlite.consumer import GroupConsumer
from tests.central_process import run_central

SETTINGS: dict[str, Any] = {
    "tick_s": 0.02,
    "settle_s": 0.1,
    "verdict_s": 0.0,
    "save_s": 0.2,
    "rollback_settle_s": 60.0,
    "recovery_s": 0.0,
}
CALLS: tuple[tuple[type, str], ...] = (
    (Checkpoint, "save"),
    (Checkpoint, "sent"),
    (SqliteLog, "append"),
    (GroupConsumer, "commit"),
)


class ToldHealth(Health):
    """Leaves a file `ready-PID` once a part of the process is at work."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = folder / f"ready-{os.getpid()}"

    def ready(self, part: str) -> None:
        super().ready(part)
        self._file.touch()


async def main(folder: Path) -> None:
    own = folder / "gate.json"
    settings = SETTINGS | (msgspec.json.decode(own.read_bytes()) if own.exists() else {})
    config = msgspec.convert(settings | {"signing_key_file": str(folder / "gate.pem")}, GateConfig)
    await run_central(
        folder, "gate", lambda gateways, within: [build_gate(config, gateways, within)], ToldHealth(folder)
    )


def make_mortal(die_at: int) -> None:
    """Of the calls that leave something behind, the `die_at`-th is never made."""
    counted = itertools.count(1)

    def mortal(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def counting(*arguments: Any, **named: Any) -> Any:
            if next(counted) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counting

    for kind, name in CALLS:
        setattr(kind, name, mortal(getattr(kind, name)))


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def nurse() -> None:
    child = 0
    for line in sys.stdin:
        if line.strip() == "wait":
            answer(os.waitpid(child, 0)[1])
            continue
        _, folder, die_at = line.split()
        child = os.fork()
        if child == 0:
            if int(die_at):
                make_mortal(int(die_at))
            asyncio.run(main(Path(folder)))
            os._exit(0)
        answer(child)


if __name__ == "__main__":
    nurse()
