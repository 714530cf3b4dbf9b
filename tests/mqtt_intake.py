"""An intake for tests: keeps what is offered, commits when told to, and has as much room as told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_aggregator.receive.port import Arrival, Message

DEADLINE_S = 90


class HeldIntake:
    """Stands where the edge's journal stands; `commit` acknowledges in order of arrival."""

    def __init__(self, *, commits: bool = False) -> None:
        self.arrivals: list[Arrival] = []
        self.uncommitted: list[Arrival] = []
        self._commits = commits
        self._room = asyncio.Event()
        self._room.set()

    def offer(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self.uncommitted.append(arrival)
        if self._commits:
            asyncio.get_running_loop().call_soon(self.commit)

    def has_room(self) -> bool:
        return self._room.is_set()

    async def wait_for_room(self) -> None:
        await self._room.wait()

    def commit(self) -> None:
        held, self.uncommitted = self.uncommitted, []
        for arrival in held:
            arrival.committed()

    def fill(self) -> None:
        self._room.clear()

    def empty(self) -> None:
        self._room.set()

    def messages(self) -> list[Message]:
        return [message for arrival in self.arrivals for message in arrival.messages]

    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages()]


async def until(holds: Callable[[], object], what: str = "") -> None:
    """Waits for a condition that other tasks or threads bring about."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110 - other threads and processes set no event of ours
            await asyncio.sleep(0.005)
    assert holds(), what
