"""One connection to a broker: reads in chunks of 64 KiB, acknowledges after the commit."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast

from edge_aggregator.receive.mqtt.gate import PACING, ReadGate
from edge_aggregator.receive.mqtt.session import Phase
from edge_aggregator.receive.port import Arrival

if TYPE_CHECKING:
    from collections import Counter

    from edge_aggregator.receive.mqtt.scan import Read
    from edge_aggregator.receive.mqtt.session import SubscriberSession
    from edge_aggregator.receive.port import Intake
    from ingest.runtime.clock import Clock

READ_BYTES = 64 * 1024
_LONG_PAUSE_S = 5.0  # a longer pause of the reads counts as being cut off
_FAREWELL_S = 1.0
_PACE_S = 0.02
"""How long a busy connection gathers for its next read: a read costs as much as ten messages and wakes everything up."""
_BUSY_WINDOW = 1_000
"""A broker that waits after fewer messages is read without a pause."""


class BrokerLink(asyncio.BufferedProtocol):
    """Moves bytes between a transport, a session and the intake."""

    def __init__(
        self,
        session: SubscriberSession,
        intake: Intake,
        clock: Clock,
        *,
        name: str,
        window: int,
        counters: Counter[str],
    ) -> None:
        self._name, self.session, self._intake, self._clock = name, session, intake, clock
        self._window, self._counters = window, counters
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._unacknowledged = 0
        self._acks = bytearray()
        self._read_at = 0.0
        self._leaving = False
        self._transport: asyncio.Transport | None = None
        self.gate: ReadGate | None = None
        self.ready_since: float | None = None
        self.finished = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT."""
        self._transport = cast("asyncio.Transport", transport)
        self.gate = ReadGate(self._transport, self._intake, self._clock.monotonic)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the base class asks for it
        """Where the event loop puts what it reads."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take one read."""
        if self._leaving:
            return
        now = self._clock.monotonic()
        read = self.session.received(bytes(self._buffer[:nbytes]), now)
        if self.ready_since is None and self.session.phase is Phase.READY:
            self.ready_since = now
            self._counters["sessions_kept" if self.session.session_present else "sessions_new"] += 1
            self._counters["granted_qos0"] += self.session.granted_qos0
        if read.messages or read.oversized:
            self._offer(read)
            self._pace(nbytes, now)
        self._flush()

    def _pace(self, nbytes: int, now: float) -> None:
        busy = now - self._read_at < 2 * _PACE_S
        self._read_at = now
        if busy and nbytes < READ_BYTES and self._window >= _BUSY_WINDOW and self.gate:
            self.gate.hold(PACING)
            asyncio.get_running_loop().call_later(_PACE_S, self.gate.release, PACING)

    def _offer(self, read: Read) -> None:
        owed = read.owed()
        self._unacknowledged += owed
        self._counters["messages"] += len(read.messages)
        self._counters["oversized"] += len(read.oversized)
        self._counters["bytes"] += read.size
        arrival = Arrival(
            self._name,
            read.messages,
            read.size,
            partial(self._acknowledge, bytes(read.acks), owed),
            tuple(read.oversized),
            self._unacknowledged >= self._window,
        )
        self._intake.offer(arrival)
        if self.gate:
            self.gate.heed_room()

    def _acknowledge(self, acks: bytes, owed: int) -> None:
        # On a connection that is gone nothing may be acknowledged: the broker sends it again on the next one.
        self._unacknowledged -= owed
        if acks and not self._acks:
            asyncio.get_running_loop().call_soon(self._write_acks)  # those of the commit's other reads come with them
        self._acks += acks

    def _write_acks(self) -> None:
        acks, self._acks = bytes(self._acks), bytearray()
        if acks and self._transport and not self._transport.is_closing():
            self._transport.write(acks)

    def _flush(self) -> None:
        if self._transport is None:
            return
        if self.session.outgoing and not self._transport.is_closing():
            self._transport.write(bytes(self.session.outgoing))
            self.session.outgoing.clear()
        if self.session.ending:
            self._transport.abort()

    def tick(self) -> None:
        """Time has passed: ping, or end a connection that has gone silent."""
        now = self._clock.monotonic()
        if self.gate and self.gate.deaf():
            self.session.not_listening(now)
            if self._long_deaf() and self.ready_since is not None:
                self.ready_since = now
        self.session.tick(now)
        self._flush()

    def connected_since(self) -> float | None:
        """Since when the broker delivers; None before that and during a long pause of the reads."""
        return None if self._long_deaf() else self.ready_since

    def _long_deaf(self) -> bool:
        since = self.gate.paused_since if self.gate else None
        return since is not None and self._clock.monotonic() - since > _LONG_PAUSE_S

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a reset and an end mean the same
        """The transport is gone."""
        self.session.closed()
        if self.gate:
            self.gate.close()
        self.finished.set()

    async def leave(self) -> None:
        """Say farewell, which keeps the session at the broker, and wait until it has read that and hung up.

        Whoever hangs up first may lose the acknowledgements that the broker has not read yet.
        """
        if self._transport is None or self.finished.is_set():
            return
        self._leaving = True
        self._write_acks()
        self._transport.write(self.session.farewell())
        if self.gate:
            self.gate.close()
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self.finished.wait()
        except TimeoutError:
            self._transport.abort()
