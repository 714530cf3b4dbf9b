"""A gateway of the bench's own: the real process with its listener and the embedded log."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from compose.bench.flooder import SITE
from edge_aggregator.config import EdgeConfig
from edge_aggregator.receive.config import ListenerConfig
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.open import LogConfig, open_log
from ingest.runtime.secrets import generate_private_key

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path


_DRAIN_S = 60.0
"""A gateway that has not stopped by then does not stop by itself."""


def bench_config(place: Path, port: int, **settings: Any) -> EdgeConfig:
    """Defaults but for these `settings`; devices are heard on `port`, journal and state are in `edge` below `place`."""
    return EdgeConfig(
        tenant="bench",
        site=SITE,
        gateway="gateway",
        key_file=str(place / "gateway.pem"),
        data_dir=str(place / "edge"),
        listener=ListenerConfig(site=SITE, port=port),
        **settings,
    )


async def written_config(place: Path, port: int, *, observe_port: int = 0, **settings: Any) -> Path:
    """A key, a log with its topics, and the file with `bench_config` for `tidegate edge run`."""
    generate_private_key(place / "gateway.pem")
    log_config = LogConfig(kind="sqlite", path=str(place / "log.db"))
    log = open_log(log_config, SystemClock())
    await log.ensure_topics(every_topic())
    await log.close()
    sections = {"edge": bench_config(place, port, **settings), "log": log_config}
    lines = [f"{name} = {toml(msgspec.to_builtins(section))}" for name, section in sections.items()]
    path = place / "edge.toml"
    path.write_text("\n".join([*lines, f'observe = {{host = "127.0.0.1", port = {observe_port}}}', ""]))
    return path


@asynccontextmanager
async def running_gateway(config: Path, output: Path) -> AsyncIterator[Process]:
    """`tidegate edge run` for the length of a block; what it says goes to `output`."""
    argv = (sys.executable, "-m", "compose.cli", "edge", "run", str(config))
    with output.open("wb") as told:
        process = await asyncio.create_subprocess_exec(*argv, stdout=told, stderr=told)
    try:
        yield process
    finally:
        await _ended(process)


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _DRAIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def toml(value: Any) -> str:
    """A value of a configuration file on one line."""
    if isinstance(value, dict):
        inner = [f"{name} = {toml(one)}" for name, one in value.items() if one is not None]
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value) if isinstance(value, float) else msgspec.json.encode(value).decode()
