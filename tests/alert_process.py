"""Alerts as processes that start at once: `python -m tests.alert_process` forks one for each line `start FOLDER` it reads.

It answers with the process id. A line `wait` waits for the last one's end and answers with its wait status. The folder
holds the log, the list of gateways and the configuration of alerts.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from analytics.alerts.config import AlertsConfig
from analytics.alerts.service import build_alerts
from ingest.runtime.clock import SystemClock
from tests.central_process import run_central

_SHIFT = "clock_shift_ms"


class ShiftedClock(SystemClock):
    """The machine's clock, moved on by what a file of the folder says."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _SHIFT

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms()

    def monotonic(self) -> float:
        return super().monotonic() + self._shift_ms() / 1000

    def _shift_ms(self) -> int:
        return int(self._file.read_text()) if self._file.exists() else 0


def shift_clock(folder: Path, ms: int) -> None:
    """From now on the processes of this folder are so far ahead."""
    fresh = folder / "clock_shift_ms.fresh"
    fresh.write_text(str(ms))
    fresh.rename(folder / _SHIFT)


async def main(folder: Path) -> None:
    config = msgspec.json.decode((folder / "alerts.json").read_bytes(), type=AlertsConfig)
    clock = ShiftedClock(folder)
    await run_central(
        folder, "alerts", lambda gateways, within: build_alerts(config, gateways, within._replace(clock=clock))
    )


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def nurse() -> None:
    child = 0
    for line in sys.stdin:
        verb, _, folder = line.strip().partition(" ")
        if verb == "wait":
            answer(os.waitpid(child, 0)[1])
            continue
        child = os.fork()
        if child == 0:
            asyncio.run(main(Path(folder)))
            os._exit(0)
        answer(child)


if __name__ == "__main__":
    nurse()
