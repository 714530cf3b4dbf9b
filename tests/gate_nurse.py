"""Whoever starts gates as processes, waits for their end and kills them."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from tests.nurse import Nurse

if TYPE_CHECKING:
    from pathlib import Path


class GateNurse(Nurse):
    """Has one gate at a time; a process of its own, so that starting one is quick."""

    def __init__(self) -> None:
        super().__init__("tests.gate_process")
        self.gate = 0

    def start(self, folder: Path, die_at: int = 0) -> None:
        """A gate in that folder; see tests.gate_process."""
        assert not self.gate
        self._folder = folder
        self.gate = self.ask(f"start {folder} {die_at}")

    def kill(self) -> None:
        """As a power cut would."""
        os.kill(self.gate, signal.SIGKILL)
        assert os.WTERMSIG(self._ended()) == signal.SIGKILL

    def strike(self) -> None:
        """Kill it and do not wait for its end."""
        os.kill(self.gate, signal.SIGKILL)

    def stop(self) -> None:
        """In order."""
        os.kill(self.gate, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(self._ended()) == 0

    async def died(self) -> None:
        """It was struck, or has killed itself."""
        assert os.WTERMSIG(await asyncio.to_thread(self._ended)) == signal.SIGKILL

    async def stopped(self) -> None:
        """Stops it in order once it is at work, while the test goes on serving it."""
        while not (self._folder / f"ready-{self.gate}").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        os.kill(self.gate, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(await asyncio.to_thread(self._ended)) == 0

    def close(self) -> None:
        """No gate is left."""
        if self.gate:
            self.kill()
        super().close()

    def _ended(self) -> int:
        status = self.ask("wait")
        self.gate = 0
        return status
