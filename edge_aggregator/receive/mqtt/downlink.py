"""Commands in broker mode: one connection that publishes, many messages under way at once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, cast

from edge_aggregator.receive.mqtt.ending import Cause, Ending
from edge_aggregator.receive.mqtt.publisher_session import PublisherSession
from edge_aggregator.receive.mqtt.session import Phase, Subscription
from edge_aggregator.receive.mqtt.tls import client_context
from ingest.runtime.backoff import Backoff
from ingest.runtime.secrets import read_secret

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from edge_aggregator.receive.config import BrokerConfig
    from ingest.runtime.clock import Clock

_LEAST_BACKOFF_S, _MOST_BACKOFF_S = 1.0, 10.0
_TICK_S = 1.0
_FAREWELL_S = 1.0


class _Link(asyncio.Protocol):
    """Moves bytes between a transport and a session; `answers` are owed by identifier, since when (monotonic s)."""

    def __init__(self, session: PublisherSession, clock: Clock) -> None:
        self.session, self._clock = session, clock
        self.answers: dict[int, tuple[Callable[[bool], None], float]] = {}
        self.transport: asyncio.Transport | None = None
        self._writing = False
        self.finished = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say CONNECT."""
        self.transport = cast("asyncio.Transport", transport)
        self._write()

    def data_received(self, data: bytes) -> None:
        """Take one read."""
        self.session.received(data, self._clock.monotonic())
        for packet_id, taken in self.session.answered:
            self._answer(packet_id, taken=taken)
        self.session.answered.clear()
        self._write()

    def send(self, topic: str, payload: bytes, answered: Callable[[bool], None], *, retain: bool) -> bool:
        """Send one message; False when it cannot be now."""
        now = self._clock.monotonic()
        packet_id = self.session.publish(topic, payload, retain=retain, now=now)
        if packet_id is None:
            return False
        if not self._writing:  # what is sent in one go is written at once
            self._writing = True
            asyncio.get_running_loop().call_soon(self._write)
        self.answers[packet_id] = answered, now
        return True

    def tick(self, timeout_s: float) -> None:
        """Time has passed: give up answers that are owed for so long, ping, end a connection that has gone silent."""
        now = self._clock.monotonic()
        late = [packet_id for packet_id, (_, since) in self.answers.items() if now - since >= timeout_s]
        for packet_id in late:
            self._answer(packet_id, taken=False)
        self.session.tick(now)
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a reset and an end mean the same
        """The transport is gone: what was not acknowledged was perhaps not taken."""
        self.session.closed()
        for packet_id in tuple(self.answers):
            self._answer(packet_id, taken=False)
        self.finished.set()

    def _answer(self, packet_id: int, *, taken: bool) -> None:
        answered, _ = self.answers.pop(packet_id, (None, 0.0))
        if answered:
            answered(taken)

    def _write(self) -> None:
        self._writing = False
        if self.transport is None or self.transport.is_closing():
            return
        if self.session.outgoing:
            self.transport.write(bytes(self.session.outgoing))
            self.session.outgoing.clear()
        if self.session.ending:
            self.transport.abort()


class BrokerDownlink:
    """A Downlink through a broker: QoS 1, True once the broker has acknowledged.

    Nothing is queued while the broker is away: a command that was not acknowledged is its caller's to send again. It
    has a connection and a client identifier of its own. `counters` are totals.
    """

    def __init__(
        self, config: BrokerConfig, clock: Clock, *, timeout_s: float = 10.0, rng: random.Random | None = None
    ) -> None:
        self._config, self._clock, self._timeout_s = config, clock, timeout_s
        self._random = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self.counters: Counter[str] = Counter()
        self._link: _Link | None = None
        self._reason = f"connecting to {config.host}:{config.port}"
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect in the background, now and after every loss. Raises OSError, SecretError for unreadable files."""
        await asyncio.to_thread(_prepared, self._config)
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Disconnect."""
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def state(self) -> str:
        """For `/readyz`: "connected", or the reason why not."""
        if self._link is None:
            return self._reason
        phase = self._link.session.phase
        return "connected" if phase is Phase.READY else phase.value

    def send(self, topic: str, payload: bytes, answered: Callable[[bool], None], *, retain: bool = False) -> None:
        """Send, without waiting; `answered` is called later, with what `publish` returns."""

        def told(taken: bool) -> None:  # noqa: FBT001 - the port's callback
            self.counters["commands_acknowledged" if taken else "commands_unanswered"] += 1
            answered(taken)

        if self._link is None or not self._link.send(topic, payload, told, retain=retain):
            self.counters["commands_undeliverable"] += 1
            asyncio.get_running_loop().call_soon(answered, False)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send; True once the broker has acknowledged, False when it is away or stays silent for the timeout."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def told(taken: bool) -> None:  # noqa: FBT001 - the port's callback
            if not answer.done():
                answer.set_result(taken)

        self.send(topic, payload, told, retain=retain)
        return await answer

    async def _run(self) -> None:
        backoff = Backoff(self._random, _LEAST_BACKOFF_S, _MOST_BACKOFF_S)
        while True:
            began = self._clock.monotonic()
            ending = await self._connection()
            self._reason = str(ending)
            self.counters[ending.cause] += 1
            if self._clock.monotonic() - began > _MOST_BACKOFF_S:
                backoff.reset()
            await self._clock.sleep(backoff.next())

    async def _connection(self) -> Ending:
        config = self._config
        try:
            wanted, context = await asyncio.to_thread(_prepared, config)
            session = PublisherSession(wanted, self._clock.monotonic())
            async with asyncio.timeout(config.connect_timeout_s):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: _Link(session, self._clock), config.host, config.port, ssl=context
                )
        except (OSError, ValueError) as error:  # as for the reader
            why = str(error) or "no answer in time"
            return Ending(Cause.UNREACHABLE, f"cannot connect to {config.host}:{config.port}: {why}")
        self.counters["connections"] += 1
        await self._serve(link)
        return link.session.ending or Ending(Cause.CLOSED, "the connection was closed")

    async def _serve(self, link: _Link) -> None:
        self._link = link
        ticking = asyncio.create_task(self._tick(link))
        try:
            await link.finished.wait()
        finally:
            self._link = None
            ticking.cancel()
            if link.transport and not link.finished.is_set():
                link.transport.write(link.session.farewell())
                link.transport.close()
                async with asyncio.timeout(_FAREWELL_S):
                    await link.finished.wait()

    async def _tick(self, link: _Link) -> None:
        while True:
            await self._clock.sleep(min(_TICK_S, self._timeout_s / 2, self._config.keepalive_s / 4))
            link.tick(self._timeout_s)


def _prepared(config: BrokerConfig) -> tuple[Subscription, ssl.SSLContext | None]:
    # Files are read anew for each connection, so that rotated secrets and certificates are taken up.
    password = read_secret(config.password_file).encode() if config.password_file else None
    wanted = Subscription(
        client_id=f"{config.client_id}-commands",
        topics=(),
        keepalive_s=config.keepalive_s,
        max_packet_bytes=config.max_packet_bytes,
        session_expiry_s=0,
        answer_timeout_s=config.connect_timeout_s,
        username=config.username,
        password=password,
    )
    return wanted, client_context(config.tls) if config.tls else None
