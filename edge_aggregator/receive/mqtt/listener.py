"""The embedded MQTT listener: for sites without a broker, devices connect to the gateway itself."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.admission import Door
from edge_aggregator.receive.mqtt.answer import positive_within
from edge_aggregator.receive.mqtt.credentials import Credentials, read_credentials
from edge_aggregator.receive.mqtt.device import DeviceSession
from edge_aggregator.receive.mqtt.device_link import DeviceLink
from edge_aggregator.receive.mqtt.ending import Cause
from edge_aggregator.receive.mqtt.tls import server_context
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from ingest.runtime.backoff import Backoff
from ingest.runtime.stop_listening import stop_listening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_aggregator.receive.config import ListenerConfig
    from edge_aggregator.receive.port import Intake
    from ingest.runtime.clock import Clock

_SWEEP_S = 1.0
_LONG_PAUSE_S = 5.0  # a longer pause of the reads counts as being cut off
_FAREWELL_S = 1.0
_READ_BYTES = 64 * 1024


class MqttListener:
    """A Receiver and a Downlink in one: devices publish to it with QoS 0 or 1 and get their commands from it.

    A device connects with its name as client identifier. `credentials` are passwords by device; without them (and
    without a `credentials_file`) whoever reaches loopback may publish anything. `counters` are totals since the start;
    causes of endings are counted by name. Raises ValueError when the credentials cannot be read.
    """

    def __init__(
        self,
        config: ListenerConfig,
        clock: Clock,
        *,
        credentials: Mapping[str, str] | None = None,
        name: str = "listener",
        rng: random.Random | None = None,
    ) -> None:
        if credentials is None and config.credentials_file:
            credentials = read_credentials(config.credentials_file)
        self.name, self._config, self._clock = name, config, clock
        self.counters: Counter[str] = Counter()
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self.listening = asyncio.Event()
        self.port: int | None = None  # the port that is listened on, once it is
        known = None if credentials is None else Credentials(credentials)
        self._door = Door(config.site, known, frozenset(config.panels))
        self._retained: dict[str, bytes] = {}
        self._random = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._topics = TopicCache()
        self._links: set[DeviceLink] = set()
        self._sending: set[asyncio.Task[bool]] = set()
        self._by_command_topic: dict[str, DeviceLink] = {}
        self._since: float | None = None
        self._stopped = False
        self._full_since: float | None = None
        self._reason = "not listening yet"
        self._quiet = False

    def connected_since(self) -> float | None:
        """`Clock.monotonic()` seconds since when devices are heard; None while they are not."""
        return None if self._long_full() else self._since

    def state(self) -> str:
        """For `/readyz`."""
        if self._since is None:
            return self._reason
        return "reading is paused: the intake has no room" if self._long_full() else "connected"

    def quiesce(self) -> None:
        """Read no more; what was offered can still be acknowledged until `run` is cancelled."""
        self._quiet = True
        for link in self._links:
            link.quiesce()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send a command to a device that is connected and subscribed; True once it has acknowledged.

        What is to be retained, an alarm, is kept (one payload a topic) and told whoever asked or will ask: always True.
        """
        if retain:
            self._retained[topic] = payload
            for reader in [link for link in self._links if _reads(link, topic)]:
                reader.alarm(topic, payload)
            return True
        link = self._by_command_topic.get(topic)
        answer = link.command(topic, payload) if link else None
        if answer is None:
            self.counters["commands_undeliverable"] += 1
            return False
        acknowledged = await positive_within(answer, self._clock, self._config.command_timeout_s)
        self.counters["commands_acknowledged" if acknowledged else "commands_unanswered"] += 1
        return acknowledged

    def send(self, topic: str, payload: bytes, answered: Callable[[bool], None]) -> None:
        """`publish`, without waiting."""
        sending = asyncio.ensure_future(self.publish(topic, payload))
        self._sending.add(sending)
        sending.add_done_callback(lambda sent: self._sent(sent, answered))

    def _sent(self, sending: asyncio.Task[bool], answered: Callable[[bool], None]) -> None:
        self._sending.discard(sending)
        if not sending.cancelled():
            answered(sending.result())

    async def run(self, intake: Intake) -> None:
        """Listen until cancelled; an address that is taken is waited for."""
        backoff = Backoff(self._random)
        while True:
            try:
                server = await self._listen(intake)
            except OSError as error:
                self._reason = f"cannot listen on {self._config.host}:{self._config.port}: {error}"
                self.counters["bind_failures"] += 1
                await self._clock.sleep(backoff.next())
                continue
            try:
                await self._sweep(intake)
            finally:
                await self._close(server)

    async def _listen(self, intake: Intake) -> asyncio.Server:
        config = self._config
        context = await asyncio.to_thread(server_context, config.tls) if config.tls else None
        self._stopped = False
        server = await asyncio.get_running_loop().create_server(
            lambda: self._link(intake),
            config.host,
            config.port,
            ssl=context,
            ssl_handshake_timeout=config.connect_timeout_s if context else None,
        )
        self.port, self._since = server.sockets[0].getsockname()[1], self._clock.monotonic()
        self.listening.set()
        return server

    def _link(self, intake: Intake) -> DeviceLink:
        session = DeviceSession(
            self._door,
            self._topics,
            max_packet_bytes=self._config.max_packet_bytes,
            connect_timeout_s=self._config.connect_timeout_s,
            now=self._clock.monotonic(),
        )
        return DeviceLink(session, intake, self._clock, self)

    def opened(self, link: DeviceLink) -> bool:
        """A connection was made; False when there are too many, or it was on its way while the listener stopped."""
        self.counters["connections"] += 1
        if self._stopped:
            link.leave()
            return False
        if len(self._links) >= self._config.max_connections:
            link.session.end(Cause.TOO_MANY_CONNECTIONS, "there are too many connections")
            self.counters[Cause.TOO_MANY_CONNECTIONS] += 1
            return False
        self._links.add(link)
        if self._quiet:
            link.quiesce()
        return True

    def admitted(self, link: DeviceLink, device: str) -> None:
        """A device said who it is: an older connection of its own ends before anything of the new one is taken."""
        topic = self._door.command_topic(device)
        older = self._by_command_topic.get(topic)
        self._by_command_topic[topic] = link
        if older:
            older.end(Cause.TAKEN_OVER, f"{device} connected anew")

    def asked(self, link: DeviceLink, topic: str) -> None:
        """A panel wants to know what stands."""
        for known, payload in self._retained.items():
            if topic in (known, _every(known)):
                link.session.alarm(known, payload, retain=True)

    def ended(self, link: DeviceLink) -> None:
        """A connection is gone."""
        if link not in self._links:
            return
        self._links.discard(link)
        if link.session.ending:
            self.counters[link.session.ending.cause] += 1
        topic = self._door.command_topic(link.session.device or "")
        if self._by_command_topic.get(topic) is link:
            del self._by_command_topic[topic]

    async def _sweep(self, intake: Intake) -> None:
        while True:
            await self._clock.sleep(_SWEEP_S)
            now = self._clock.monotonic()
            self._full_since = None if intake.has_room() else (self._full_since or now)
            if self._long_full():
                self._since = now
            for link in tuple(self._links):
                link.tick(now)

    def _long_full(self) -> bool:
        return self._full_since is not None and self._clock.monotonic() - self._full_since > _LONG_PAUSE_S

    async def _close(self, server: asyncio.Server) -> None:
        self._since, self._reason, self._stopped = None, "stopped", True
        self.listening.clear()
        await stop_listening(server)
        links = tuple(self._links)
        for link in links:
            link.leave()
        try:
            async with asyncio.timeout(_FAREWELL_S):
                for link in links:
                    await link.finished.wait()
        except TimeoutError:
            for link in links:
                link.abort()
            for link in links:
                await link.finished.wait()


def _reads(link: DeviceLink, topic: str) -> bool:
    return topic in link.session.alarms or _every(topic) in link.session.alarms


def _every(topic: str) -> str:
    # The filter over the same channel of every device: tidegate/v1/{site}/+/alarm.
    root, version, site, _, channel = topic.split("/")
    return f"{root}/{version}/{site}/+/{channel}"
