"""The gateway and analytics as they are shipped, as processes on a stand's Kafka."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx

from compose.bench.detect.latency_devices import SITE
from compose.bench.leaving import leave
from compose.bench.load import BenchFailedError
from ingest.runtime.secrets import generate_private_key, public_key_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from compose.bench.detect.latency_devices import LatencyPlan
    from compose.bench.load import Stand

TENANT = "bench"
_READY_S = 120.0


@asynccontextmanager
async def running(kind: str, config: Path) -> AsyncIterator[None]:
    """A process with this configuration; what it said is part of the error. Raises BenchFailedError."""
    argv = (sys.executable, "-m", "compose.cli", kind, "run", str(config))
    with config.with_suffix(".output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(*argv, stdout=output, stderr=output)
    try:
        yield
    except (TimeoutError, BenchFailedError, OSError) as error:
        told = config.with_suffix(".output").read_text(errors="replace")[-2000:]
        raise BenchFailedError(f"{error or 'no answer in time'}; {kind} said:\n{told}") from error
    finally:
        await leave(process)


async def until_ready(port: int) -> None:
    """The process that is observed at this port answers that it is ready. Raises TimeoutError."""
    async with asyncio.timeout(_READY_S), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.TransportError):
                answer = await client.get(f"http://127.0.0.1:{port}/readyz")
                if answer.is_success:
                    return
            await asyncio.sleep(0.2)


async def until_listening(port: int) -> None:
    """Somebody takes connections there. Raises TimeoutError."""
    async with asyncio.timeout(_READY_S):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.2)


def written(
    plan: LatencyPlan, folder: Path, stand: Stand, ports: tuple[int, int], alerts: str = ""
) -> tuple[Path, Path]:
    """The configurations of the gateway and of analytics, which listen at `ports`; `alerts` is more of the latter's TOML."""
    port, observed = ports
    key = generate_private_key(folder / "gateway.pem")
    generate_private_key(folder / "centre.pem")
    kafka = stand.endpoints.kafka
    log = _LOG.format(kafka=kafka, password_file=f"{stand.folder}/kafka-password" if kafka.username else "")
    edge, analytics = folder / "edge.toml", folder / "analytics.toml"
    edge.write_text(_EDGE.format(folder=folder, site=SITE, tenant=TENANT, port=port, window_s=plan.window_s) + log)
    analytics.write_text(
        _ANALYTICS.format(folder=folder, site=SITE, tenant=TENANT, port=observed, key=public_key_text(key.public_key()))
        + alerts
        + log
    )
    return edge, analytics


_EDGE = """\
[edge]
tenant = "{tenant}"
site = "{site}"
gateway = "gateway-{site}"
key_file = "{folder}/gateway.pem"
data_dir = "{folder}/edge"
window_s = {window_s}

[edge.listener]
site = "{site}"
port = {port}

[observe]
port = 0

"""

_ANALYTICS = """\
[analytics]
data_dir = "{folder}/analytics"

[analytics.gate]
signing_key_file = "{folder}/centre.pem"

[[gateways]]
gateway = "gateway-{site}"
tenant = "{tenant}"
site = "{site}"
public_key = "{key}"

[observe]
port = {port}

"""

_LOG = """\
[log]
kind = "kafka"
bootstrap = "{kafka.bootstrap}"
username = "{kafka.username}"
password_file = "{password_file}"
mechanism = "{kafka.mechanism}"
"""
