"""Back-pressure: a connection is read only while nothing speaks against it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_aggregator.receive.port import Intake


INTAKE, QUIET, SHARE, WRITING, PACING = "intake", "quiet", "share", "writing", "pacing"
_BRIEF = frozenset({WRITING, PACING})


class ReadGate:
    """Pauses a transport while there is a reason to; each reason is held and released by its name."""

    def __init__(self, transport: asyncio.Transport, intake: Intake, monotonic: Callable[[], float]) -> None:
        self._transport, self._intake, self._monotonic = transport, intake, monotonic
        self._reasons: set[str] = set()
        self._waiting: asyncio.Task[None] | None = None
        self.paused_since: float | None = None

    def hold(self, reason: str) -> None:
        """Stop reading."""
        if not self._reasons:
            self.paused_since = self._monotonic()
            self._transport.pause_reading()
        self._reasons.add(reason)

    def release(self, reason: str) -> None:
        """Read again once no other reason is left."""
        self._reasons.discard(reason)
        if not self._reasons and self.paused_since is not None:
            self.paused_since = None
            self._transport.resume_reading()

    def deaf(self) -> bool:
        """Whether it is our own doing that nothing is read."""
        return bool(self._reasons - _BRIEF)

    def heed_room(self) -> None:
        """Stop reading while the intake has no room."""
        if self._waiting is None and not self._intake.has_room():
            self.hold(INTAKE)
            self._waiting = asyncio.get_running_loop().create_task(self._until_room())

    async def _until_room(self) -> None:
        await self._intake.wait_for_room()
        self._waiting = None
        self.release(INTAKE)

    def close(self) -> None:
        """No reason counts any more: read to the end."""
        if self._waiting:
            self._waiting.cancel()
        for reason in tuple(self._reasons):
            self.release(reason)
