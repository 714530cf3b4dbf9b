"""Detection as a process of its own: `python -m tests.detect_process FOLDER`; the folder holds log and gateways.

It says `ready` when it begins.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from analytics.detect.config import DetectConfig
from analytics.detect.service import build_detect
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.service import run_process
from ingest.runtime.telemetry import Telemetry

CONFIG = DetectConfig(continues_s=2.0, snapshot_s=0.3, tick_s=0.02)


async def main(folder: Path) -> None:
    clock = SystemClock()
    log = SqliteLog(folder / "log.db", clock)
    known = msgspec.json.decode((folder / "gateways.json").read_bytes(), type=list[GatewayConfig])
    detect = build_detect(
        CONFIG,
        Gateways(known),
        clock=clock,
        log=log,
        health=Health(),
        telemetry=Telemetry("detect"),
        data_dir=folder,
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await run_process([detect])
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
