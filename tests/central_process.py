"""Parts of the centre as processes of their own, on the embedded log of a folder that also holds the list of gateways.

`python -m tests.central_process PART FOLDER` says `ready` when it begins; `start` does so from a test.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analytics.cohorts.service import build_cohorts
from analytics.detect.config import DetectConfig
from analytics.detect.service import build_detect
from analytics.incidents.config import IncidentsConfig
from analytics.incidents.service import build_incidents
from analytics.surroundings import Surroundings
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.service import run_process
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ingest.runtime.service import Service

    Build = Callable[[Gateways, Surroundings], Sequence[Service]]

DETECT_CONFIG = DetectConfig(continues_s=2.0, snapshot_s=0.3, tick_s=0.02)
INCIDENTS_CONFIG = IncidentsConfig(settle_s=0.2, update_s=1.0, resolve_after_s=1.0, tick_s=0.02)

PARTS: dict[str, Build] = {
    "detect": lambda gateways, within: [build_detect(DETECT_CONFIG, gateways, within)],
    "cohorts": lambda _, within: [build_cohorts(DETECT_CONFIG, within)],
    "incidents": lambda gateways, within: build_incidents(INCIDENTS_CONFIG, gateways, within),
}


async def run_central(folder: Path, name: str, build: Build, health: Health | None = None) -> None:
    """Until this process is told to stop."""
    clock = SystemClock()
    log = SqliteLog(folder / "log.db", clock)
    known = msgspec.json.decode((folder / "gateways.json").read_bytes(), type=list[GatewayConfig])
    within = Surroundings(clock, log, health or Health(), Telemetry(name), folder)
    await run_process(build(Gateways(known), within))
    await log.close()


def start(part: str, folder: Path) -> subprocess.Popen[bytes]:
    """One of `PARTS`, once it has begun."""
    return started("tests.central_process", part, str(folder))


def started(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A module of the tests as a process of its own, once it has said `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


class SaysReady:
    """The service of a process that is tested: `ready` is said once signals are heeded, so that a test may stop it at once."""

    name = "says-ready"

    def __init__(self) -> None:
        self._drained = asyncio.Event()

    async def run(self) -> None:
        """Say it, and be there until the others drain."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await self._drained.wait()

    def drain(self) -> None:
        """There is nothing to finish."""
        self._drained.set()


def kill(process: subprocess.Popen[bytes]) -> None:
    """As a power cut would."""
    process.kill()
    process.communicate()


def main() -> None:
    _, part, folder = sys.argv

    def build(gateways: Gateways, within: Surroundings) -> Sequence[Service]:
        return [*PARTS[part](gateways, within), SaysReady()]

    asyncio.run(run_central(Path(folder), part, build))


if __name__ == "__main__":
    main()
