"""Starts, kills and stops the alerts' process, from a test."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from tests.nurse import Nurse

if TYPE_CHECKING:
    from pathlib import Path


class AlertNurse(Nurse):
    """Starts, kills and stops the process; a process of its own, so that starting one is quick."""

    def __init__(self) -> None:
        super().__init__("tests.alert_process")
        self._patient = 0

    async def start(self, folder: Path) -> None:
        self._patient = await self._ask(f"start {folder}")

    async def end(self, signum: signal.Signals) -> int:
        """Its wait status."""
        os.kill(self._patient, signum)
        self._patient = 0
        return await self._ask("wait")

    async def end_if_alive(self) -> None:
        if self._patient:
            await self.end(signal.SIGKILL)

    async def _ask(self, line: str) -> int:
        # Beside the event loop: the receiver goes on answering meanwhile.
        return await asyncio.to_thread(self.ask, line)
