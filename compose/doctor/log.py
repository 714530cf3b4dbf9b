"""Whether Kafka (or the embedded log) answers, takes the credentials and has the topics."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from compose.doctor.finding import bad, good, warning
from ingest.contract.topics import ROLLUPS
from ingest.runtime.log.open import open_log
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from compose.doctor.finding import Finding
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.open import LogConfig

ABOUT = "log"
WAITS = "processes wait for it, and the edge goes on acknowledging meanwhile"


def look_at_log(config: LogConfig, clock: Clock) -> Finding:
    """Connects as any reader would, and reads nothing."""
    if config.kind == "sqlite" and not Path(config.path).exists():
        return warning(ABOUT, f"{config.path} is not there yet", "the first process that starts makes it")
    return asyncio.run(_connected(config, clock))


async def _connected(config: LogConfig, clock: Clock) -> Finding:
    log = open_log(config, clock)
    try:
        await (await log.subscribe((ROLLUPS,), group=None, member="doctor")).close()
    except LogUnavailableError as error:
        return bad(ABOUT, str(error), f"is it running, are address and credentials right? {WAITS}")
    finally:
        await log.close()
    where = config.bootstrap if config.kind == "kafka" else config.path
    return good(ABOUT, f"{config.kind} at {where} answers and has {ROLLUPS}")
