"""One device's connection at the listener: reads, acknowledges after the commit, hands commands down."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from edge_aggregator.receive.mqtt.ending import Cause
from edge_aggregator.receive.mqtt.gate import QUIET, SHARE, WRITING, ReadGate
from edge_aggregator.receive.port import Arrival

if TYPE_CHECKING:
    from collections import Counter

    from edge_aggregator.receive.mqtt.device import DeviceSession
    from edge_aggregator.receive.mqtt.scan import Read
    from edge_aggregator.receive.port import Intake
    from ingest.runtime.clock import Clock

_UNSENT_BYTES = 64 * 1024  # a device that does not read its answers is not read either
MOST_UNCOMMITTED_BYTES = 256 * 1024  # of one connection: the others find room in the intake
_WINDOW = 20  # unacknowledged messages after which most clients wait
_WILL_BYTES = 200
_STUCK_S = 30.0


class Registry(Protocol):
    """What a connection tells the listener."""

    name: str
    counters: Counter[str]
    buffer: memoryview  # the event loop fills and hands it over in one go, so all connections share it

    def opened(self, link: DeviceLink) -> bool:
        """A connection was made; False when it may not stay."""
        ...

    def admitted(self, link: DeviceLink, device: str) -> None:
        """The connection is a device's."""
        ...

    def asked(self, link: DeviceLink, topic: str) -> None:
        """The connection subscribed to a filter over alarms."""
        ...

    def ended(self, link: DeviceLink) -> None:
        """The connection is gone."""
        ...


class DeviceLink(asyncio.BufferedProtocol):
    """Moves bytes between a transport, a session and the intake."""

    def __init__(self, session: DeviceSession, intake: Intake, clock: Clock, registry: Registry) -> None:
        self.session, self._intake, self._clock, self._registry = session, intake, clock, registry
        self._transport: asyncio.Transport | None = None
        self._gate: ReadGate | None = None
        self._unacknowledged = self._uncommitted_bytes = 0
        self._answers: dict[int, asyncio.Future[bool]] = {}
        self._known = False
        self._stuck_since: float | None = None
        self.finished = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for CONNECT, unless there is no room for another connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        # The kernel finds out about peers that vanished and never asked for a keepalive.
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._gate = ReadGate(self._transport, self._intake, self._clock.monotonic)
        if self._registry.opened(self):
            self._gate.heed_room()
        else:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the base class asks for it
        """Where the event loop puts what it reads."""
        return self._registry.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take one read."""
        if self.session.ending:
            return
        read = self.session.received(bytes(self._registry.buffer[:nbytes]), self._clock.monotonic())
        if not self._known and self.session.device is not None:
            self._known = True
            self._registry.admitted(self, self.session.device)
        for topic in self.session.asked:
            self._registry.asked(self, topic)
        self.session.asked.clear()
        self._write()
        if read.messages or read.oversized:
            self._offer(read)
        for packet_id, taken in self.session.answered:
            self._answer(packet_id, taken=taken)
        self.session.answered.clear()
        self._end_if_due()

    def _offer(self, read: Read) -> None:
        owed = read.owed()
        self._unacknowledged += owed
        self._count(len(read.messages), len(read.oversized), read.size)
        arrival = Arrival(
            self._registry.name,
            read.messages,
            read.size,
            partial(self._acknowledge, bytes(read.acks), owed, read.size),
            tuple(read.oversized),
            self._unacknowledged >= _WINDOW,
        )
        self._intake.offer(arrival)
        self._uncommitted_bytes += read.size
        if self._gate:
            self._gate.heed_room()
            if self._uncommitted_bytes > MOST_UNCOMMITTED_BYTES:
                self._gate.hold(SHARE)

    def _count(self, messages: int, oversized: int, size: int) -> None:
        counters = self._registry.counters
        counters["messages"] += messages
        counters["oversized"] += oversized
        counters["bytes"] += size

    def _acknowledge(self, acks: bytes, owed: int, size: int) -> None:
        self._unacknowledged -= owed
        self._uncommitted_bytes -= size
        if self._gate and self._uncommitted_bytes <= MOST_UNCOMMITTED_BYTES:
            self._gate.release(SHARE)
        if acks and self._transport and not self._transport.is_closing():
            self._transport.write(acks)

    def _answer(self, packet_id: int, *, taken: bool) -> None:
        future = self._answers.pop(packet_id, None)
        if future and not future.done():
            future.set_result(taken)

    def command(self, topic: str, payload: bytes) -> asyncio.Future[bool] | None:
        """Send a command; the future tells whether the device took it, None that it cannot be asked."""
        packet_id = self.session.command(topic, payload)
        self._write()
        if packet_id is None:
            return None
        future = self._answers[packet_id] = asyncio.get_running_loop().create_future()
        return future

    def alarm(self, topic: str, payload: bytes) -> None:
        """Tell a change of an alarm's topic."""
        self.session.alarm(topic, payload, retain=False)
        self._write()

    def _write(self) -> None:
        if self.session.outgoing and self._transport and not self._transport.is_closing():
            self._transport.write(bytes(self.session.outgoing))
            self.session.outgoing.clear()

    def _end_if_due(self) -> None:
        if self.session.ending and self._transport:
            self._write()
            self._offer_will()
            self._transport.close()

    def _offer_will(self) -> None:
        will, self.session.will = self.session.will, None
        if will:
            size = len(will.payload) + _WILL_BYTES
            self._count(1, 0, size)
            self._intake.offer(Arrival(self._registry.name, [will], size, _nothing))

    def tick(self, now: float) -> None:
        """Time has passed; called every second or so."""
        if self._transport and self._transport.is_closing():
            self._transport.abort()  # it does not read our last words
        if self._gate and self._gate.deaf():
            self.session.not_listening(now)
        if self._stuck_since is not None and now - self._stuck_since > _STUCK_S:
            self.session.end(Cause.SILENT, "the device does not read its answers")
        self.session.tick(now)
        self._end_if_due()

    def pause_writing(self) -> None:
        """The device does not read its answers: nor is it read."""
        self._stuck_since = self._clock.monotonic()
        if self._gate:
            self._gate.hold(WRITING)

    def resume_writing(self) -> None:
        """It reads again."""
        self._stuck_since = None
        if self._gate:
            self._gate.release(WRITING)

    def quiesce(self) -> None:
        """Read no more."""
        if self._gate:
            self._gate.hold(QUIET)

    def end(self, cause: Cause, detail: str) -> None:
        """End the connection."""
        self.session.end(cause, detail)
        self._end_if_due()

    def leave(self) -> None:
        """The listener stops: its devices are not lost, so no will is due."""
        self.session.will = None
        self.end(Cause.CLOSED, "the listener stops")

    def abort(self) -> None:
        """Close at once."""
        if self._transport:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a reset and an end mean the same
        """The transport is gone: the will is due unless the device said farewell."""
        self.session.end(Cause.CLOSED, "the connection was closed")
        self._offer_will()
        if self._gate:
            self._gate.close()
        for packet_id in tuple(self._answers):
            self._answer(packet_id, taken=False)
        self._registry.ended(self)
        self.finished.set()


def _nothing() -> None:
    """A will is owed no acknowledgement."""
