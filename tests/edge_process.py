"""Gateways as processes that start at once: `python -m tests.edge_process FOLDER PORT` forks one for each line `start`.

It answers with the process id. A line `wait` waits for the last one's end and answers with its wait status. The folder
holds the log and the gateway's key and data.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from edge_aggregator.receive.config import ListenerConfig
from edge_aggregator.service import build_edge
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.service import run_process
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import SITE, edge_config


async def main(folder: Path, port: int) -> None:
    clock = SystemClock()
    log = SqliteLog(folder / "log.db", clock)
    config = edge_config(
        folder,
        listener=ListenerConfig(site=SITE, port=port),
        window_s=0.5,
        idle_close_s=0.2,
        heartbeat_s=0.2,
        flush_interval_s=0.05,
        commit_interval_s=0.01,
        journal_file_bytes=64 * 1024,
        journal_bytes=64 * 1024 * 1024,
    )
    edge = build_edge(config, clock=clock, log=log, health=Health(), telemetry=Telemetry("edge"))
    await run_process([edge])
    await log.close()


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def nurse(folder: Path, port: int) -> None:
    child = 0
    for line in sys.stdin:
        if line.strip() == "wait":
            answer(os.waitpid(child, 0)[1])
            continue
        child = os.fork()
        if child == 0:
            os.close(0)
            asyncio.run(main(folder, port))
            os._exit(0)
        answer(child)


if __name__ == "__main__":
    nurse(Path(sys.argv[1]), int(sys.argv[2]))
