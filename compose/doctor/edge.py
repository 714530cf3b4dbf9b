"""What a gateway needs of its machine and of the servers that it talks to."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from compose.doctor.finding import Finding, Level
from ingest.contract.topics import ROLLUPS
from ingest.runtime.log.open import open_log
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.secrets import SecretError, load_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.processes.config import EdgeProcess
    from ingest.runtime.clock import Clock

SLOW_FSYNC_MS = 50.0
CONNECT_S = 5.0


def examine(config: EdgeProcess, clock: Clock) -> Iterator[Finding]:
    """Look at everything, one finding each; changes nothing but a small file that it removes again."""
    yield _key(config)
    yield _disk(config, clock)
    yield _room(config)
    yield _broker(config)
    yield asyncio.run(_log(config, clock))


def _key(config: EdgeProcess) -> Finding:
    try:
        load_private_key(config.edge.key_file)
    except SecretError as error:
        return _bad("key", str(error), f"tidegate keys generate {config.edge.key_file}")
    return _good("key", f"{config.edge.key_file} is an Ed25519 key that only its owner reads")


def _disk(config: EdgeProcess, clock: Clock) -> Finding:
    folder = Path(config.edge.data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        took = [_fsync_ms(folder, clock) for _ in range(20)]
    except OSError as error:
        return _bad("disk", f"{folder}: {error.strerror}", "give data_dir a folder that the gateway may write to")
    slowest = max(took)
    if slowest > SLOW_FSYNC_MS:
        found = f"the slowest of 20 fsyncs in {folder} took {slowest:.0f} ms: acknowledgements wait for it"
        return _warning("disk", found, "put data_dir on better storage")
    return _good("disk", f"the slowest of 20 fsyncs in {folder} took {slowest:.1f} ms")


def _fsync_ms(folder: Path, clock: Clock) -> float:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(bytes(4096))
        began = clock.monotonic()
        os.fsync(file.fileno())
        return (clock.monotonic() - began) * 1000


def _room(config: EdgeProcess) -> Finding:
    needed = config.edge.journal_bytes + config.edge.outbox_bytes
    folder = Path(config.edge.data_dir)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free, journal and outbox may take {needed / 2**30:.1f} GiB"
    if free < needed:
        return _warning(
            "room", found, "lower journal_bytes and outbox_bytes, or make room: a full disk stops the gateway"
        )
    return _good("room", found)


def _broker(config: EdgeProcess) -> Finding:
    broker = config.edge.broker
    if broker is None:
        return _good("broker", "none: the gateway's own listener acknowledges only what is on its disk")
    try:
        socket.create_connection((broker.host, broker.port), CONNECT_S).close()
    except OSError as error:
        return _bad("broker", f"{broker.host}:{broker.port}: {error}", "is it running, and is its port open from here?")
    return _warning(
        "broker",
        f"{broker.host}:{broker.port} answers; what it acknowledges to devices is its own promise",
        "tidegate doctor --mosquitto-conf FILE says which of its settings break it",
    )


async def _log(config: EdgeProcess, clock: Clock) -> Finding:
    log = open_log(config.log, clock)
    try:
        await log.read_compacted(ROLLUPS)
    except LogUnavailableError as error:
        return _bad("log", str(error), "is it running? The gateway waits for it, and goes on acknowledging meanwhile")
    finally:
        await log.close()
    return _good("log", f"{config.log.kind} answers")


def _good(about: str, found: str) -> Finding:
    return Finding(level=Level.GOOD, about=about, found=found)


def _warning(about: str, found: str, remedy: str) -> Finding:
    return Finding(level=Level.WARNING, about=about, found=found, remedy=remedy)


def _bad(about: str, found: str, remedy: str) -> Finding:
    return Finding(level=Level.BAD, about=about, found=found, remedy=remedy)
