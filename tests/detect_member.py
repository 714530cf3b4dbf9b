"""One member of detection's consumer group, as a process of its own that can be killed.

`python -m tests.detect_member FILE`: FILE holds a `Member` as JSON. `start` does so from a test, and returns once it has begun.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analytics.detect.service import build_detect
from analytics.surroundings import Surroundings
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.service import run_process
from ingest.runtime.telemetry import Telemetry
from tests.central_process import DETECT_CONFIG, SaysReady, started
from tests.own_topics import OwnTopics

if TYPE_CHECKING:
    from ingest.runtime.log.port import Log

HANDOVER_S = 0.5


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` holds the member's own state and the folder that is shared; `prefix` is that of Kafka's topics."""

    name: str
    folder: str
    gateways: list[GatewayConfig]
    kafka: KafkaConfig | None = None
    prefix: str = ""

    def log(self) -> Log:
        """Kafka, or the embedded log in the folder."""
        if self.kafka is None:
            return SqliteLog(Path(self.folder) / "log.db", SystemClock(), lease_s=2.0)
        return OwnTopics(KafkaLog(self.kafka, SystemClock()), self.prefix)

    def within(self, log: Log) -> Surroundings:
        """Each member's state has a folder of its own; the shared one is the same for all."""
        folder = Path(self.folder)
        clock, health, telemetry = SystemClock(), Health(), Telemetry(self.name)
        return Surroundings(clock, log, health, telemetry, folder / self.name, folder / "shared", HANDOVER_S)


def start(member: Member) -> subprocess.Popen[bytes]:
    """Its process, once it has begun."""
    file = Path(member.folder) / f"{member.name}.json"
    file.write_bytes(msgspec.json.encode(member))
    return started("tests.detect_member", str(file))


async def run(member: Member) -> None:
    """Until this process is told to stop."""
    log = member.log()
    config = msgspec.structs.replace(DETECT_CONFIG, member=member.name)
    service = build_detect(config, Gateways(member.gateways), member.within(log))
    await run_process([service, SaysReady()])
    await log.close()


if __name__ == "__main__":
    asyncio.run(run(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Member)))
