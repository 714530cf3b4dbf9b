"""Where runs are made: a folder on a disk, Kafka and Mosquitto of the bench's own."""

from __future__ import annotations

import logging
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compose.bench.load import Stand
from compose.stack.endpoints import write_private
from compose.stack.stack import pid_of, running_stack
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.open import LogConfig, open_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compose.stack.steps import Say

SERVERS = ("kafka", "mosquitto")


@asynccontextmanager
async def stand(parent: Path, say: Say) -> AsyncIterator[Stand]:
    """A stand in a new folder below `parent`; everything is gone afterwards. Raises StackError."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        with running_stack(folder / "stack", SERVERS, say) as endpoints:
            kafka = endpoints.kafka
            write_private(folder / "kafka-password", kafka.password.encode())
            config = LogConfig(
                kind="kafka",
                bootstrap=kafka.bootstrap,
                username=kafka.username,
                password_file=str(folder / "kafka-password") if kafka.username else "",
                mechanism=kafka.mechanism,
            )
            log = open_log(config, SystemClock())
            try:
                yield Stand(
                    folder=folder,
                    endpoints=endpoints,
                    log=log,
                    kafka_data=folder / "stack" / "kafka" / "data",
                    kafka_pid=pid_of(folder / "stack", "kafka"),
                )
            finally:
                await log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
