"""The embedded log behaves as every Log does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import apsw
import pytest

from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.log.sqlite.log import LEASE_S
from tests.contract.log_behaviour import LogBehaviour
from tests.contract.log_place import FastForwardClock, LogPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ingest.runtime.log.port import Consumer, Log


class SqlitePlace(LogPlace):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._clock = FastForwardClock()

    def make(self) -> Log:
        return SqliteLog(self._path, self._clock, patience_s=0.2)

    async def crash(self, consumer: Consumer) -> None:
        """It polls no more, and that is all that others see of it."""

    def pass_lease(self) -> None:
        self._clock.ahead_ms += round(LEASE_S * 1000)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        other = apsw.Connection(str(self._path))
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
        other.close()


class TestSqliteLog(LogBehaviour):
    @pytest.fixture
    def place(self, tmp_path: Path) -> LogPlace:
        return SqlitePlace(tmp_path / "log" / "log.db")
