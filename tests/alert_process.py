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
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.service import run_process
from ingest.runtime.telemetry import Telemetry


async def main(folder: Path) -> None:
    clock = SystemClock()
    log = SqliteLog(folder / "log.db", clock)
    known = msgspec.json.decode((folder / "gateways.json").read_bytes(), type=list[GatewayConfig])
    services = build_alerts(
        msgspec.json.decode((folder / "alerts.json").read_bytes(), type=AlertsConfig),
        Gateways(known),
        clock=clock,
        log=log,
        health=Health(),
        telemetry=Telemetry("alerts"),
        data_dir=folder,
    )
    await run_process(services)
    await log.close()


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
