"""SIGHUP: the file is read again, and what may change takes effect; whatever is wrong with it, the process goes on."""

from __future__ import annotations

import asyncio
import logging
import signal
from enum import StrEnum
from typing import TYPE_CHECKING

from compose.processes.check import load_process
from compose.processes.config import EdgeProcess
from compose.processes.files import require_files
from compose.processes.report import say
from edge_aggregator.reload import changed
from edge_aggregator.service import ReloadRefusedError
from ingest.contract import names
from ingest.runtime.config import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_aggregator.service import EdgeService
    from ingest.runtime.telemetry import Telemetry

_FIXED = ("log", "observe", "tracing")


class Reload(StrEnum):
    """What became of one."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"  # something in it cannot change while the process runs
    BROKEN = "broken"  # it is no configuration


class ReloadService:
    """Listens for SIGHUP while it runs. A file that is not taken leaves the configuration before it in force, as a whole."""

    name = "reload"

    def __init__(self, path: Path, config: EdgeProcess, edge: EdgeService, telemetry: Telemetry) -> None:
        self._path, self._config, self._edge, self._telemetry = path, config, edge, telemetry
        self._asked, self._draining = asyncio.Event(), asyncio.Event()

    def drain(self) -> None:
        """Return from `run`."""
        self._draining.set()
        self._asked.set()

    async def run(self) -> None:
        """Until drained."""
        set_log_level(self._config)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        while not self._draining.is_set():
            await self._asked.wait()
            self._asked.clear()
            if not self._draining.is_set():
                result = await self._reload()
                self._telemetry.count(names.CONFIG_RELOADS, result=result.value)

    async def _reload(self) -> Reload:
        try:
            config = await asyncio.to_thread(_load, self._path)
        except ConfigError as error:
            say(f"the configuration is not reloaded, the one before it stays in force: {error}")
            return Reload.BROKEN
        if config == self._config:
            say(f"{self._path}: nothing has changed")
            return Reload.UNCHANGED
        try:
            self._require_same(config)
            await self._edge.reload(config.edge)
        except ReloadRefusedError as error:
            say(
                f"the configuration is not reloaded, the one before it stays in force: {self._path}: {error}; restart instead"
            )
            return Reload.REFUSED
        set_log_level(config)
        taken = [f"edge.{field}" for field in changed(self._config.edge, config.edge)]
        taken += ["logging"] if config.logging != self._config.logging else []
        say(f"the configuration is reloaded: {', '.join(taken)}")
        self._config = config
        return Reload.APPLIED

    def _require_same(self, config: EdgeProcess) -> None:
        differ = [section for section in _FIXED if getattr(config, section) != getattr(self._config, section)]
        if differ:
            raise ReloadRefusedError(f"{', '.join(differ)} cannot change while it runs")


def set_log_level(config: EdgeProcess) -> None:
    """Of our own loggers; those of the libraries stay as they are."""
    for room in ("edge_aggregator", "ingest", "compose"):
        logging.getLogger(room).setLevel(config.logging.level.upper())


def _load(path: Path) -> EdgeProcess:
    config = load_process(path, EdgeProcess)
    require_files(path, config)
    return config
