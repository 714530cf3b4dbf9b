"""The subscriber's shell: connects to a broker, stays connected, connects again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.ending import Cause, Ending
from edge_aggregator.receive.mqtt.gate import QUIET
from edge_aggregator.receive.mqtt.link import BrokerLink
from edge_aggregator.receive.mqtt.session import RECEIVE_MAXIMUM, Phase, SubscriberSession, Subscription
from edge_aggregator.receive.mqtt.tls import client_context
from edge_aggregator.receive.mqtt.topic_cache import TopicCache
from edge_aggregator.receive.mqtt.wire import Version
from ingest.runtime.backoff import Backoff
from ingest.runtime.secrets import read_secret

if TYPE_CHECKING:
    import ssl

    from edge_aggregator.receive.config import BrokerConfig
    from edge_aggregator.receive.port import Intake
    from ingest.runtime.clock import Clock

_MOST_BACKOFF_S = 10.0
_HANGUPS = 3  # every third time that a broker hangs up at MQTT 5 without a word, 3.1.1 is tried


class MqttReader:
    """A Receiver that subscribes at a broker with QoS 1 and a session that outlives the connection.

    MQTT 5 is tried first, then 3.1.1. `counters` are totals since the start; causes of endings are counted by name.
    """

    def __init__(
        self, config: BrokerConfig, clock: Clock, *, name: str = "mqtt", rng: random.Random | None = None
    ) -> None:
        self.name, self._config, self._clock = name, config, clock
        self.counters: Counter[str] = Counter()
        self._random = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._topics = TopicCache()
        self._link: BrokerLink | None = None
        self._reason = f"connecting to {config.host}:{config.port}"
        self._quiet = False

    def connected_since(self) -> float | None:
        """`Clock.monotonic()` seconds since when the broker delivers; None while it does not."""
        return self._link.connected_since() if self._link else None

    def state(self) -> str:
        """For `/readyz`."""
        if self._link is None:
            return self._reason
        if self._link.session.phase is not Phase.READY:
            return str(self._link.session.phase.value)
        return "connected" if self.connected_since() is not None else "reading is paused: the intake has no room"

    def quiesce(self) -> None:
        """Read no more; what was offered can still be acknowledged until `run` is cancelled."""
        self._quiet = True
        if self._link and self._link.gate:
            self._link.gate.hold(QUIET)

    async def run(self, intake: Intake) -> None:
        """Read until cancelled; the broker's faults are counted and waited out."""
        backoff, version, hangups = Backoff(self._random, most_s=_MOST_BACKOFF_S), Version.V5, 0
        while True:
            started = self._clock.monotonic()
            phase, ending = await self._connection(intake, version)
            self._reason = str(ending)
            self.counters[ending.cause] += 1
            if self._clock.monotonic() - started > _MOST_BACKOFF_S:
                backoff.reset()
            hangups = hangups + 1 if phase is Phase.CONNECTING and ending.cause is Cause.CLOSED else 0
            fall_back = version is Version.V5 and ending.cause is Cause.UNSUPPORTED_VERSION
            version = Version.V311 if fall_back or hangups % _HANGUPS == _HANGUPS - 1 else Version.V5
            if not fall_back:
                await self._clock.sleep(backoff.next())

    async def _connection(self, intake: Intake, version: Version) -> tuple[Phase, Ending]:
        try:
            link = await self._open(intake, version)
        except (OSError, ValueError) as error:
            # OSError: refused, unreachable, timed out, TLS; ValueError: a secret that cannot be read, a host name that is none.
            why = str(error) or "no answer in time"
            return Phase.CONNECTING, Ending(
                Cause.UNREACHABLE, f"cannot connect to {self._config.host}:{self._config.port}: {why}"
            )
        await self._serve(link)
        return link.session.phase, link.session.ending or Ending(Cause.CLOSED, "the connection was closed")

    async def _open(self, intake: Intake, version: Version) -> BrokerLink:
        config = self._config
        wanted, context = await asyncio.to_thread(_prepared, config)
        session = SubscriberSession(wanted, version, self._topics, self._clock.monotonic())
        window = config.in_flight_window if version is Version.V311 else RECEIVE_MAXIMUM // 2
        async with asyncio.timeout(config.connect_timeout_s):
            _, link = await asyncio.get_running_loop().create_connection(
                lambda: BrokerLink(session, intake, self._clock, name=self.name, window=window, counters=self.counters),
                config.host,
                config.port,
                ssl=context,
            )
        self.counters["connections"] += 1
        return link

    async def _serve(self, link: BrokerLink) -> None:
        self._link = link
        if self._quiet:
            self.quiesce()
        ticking = asyncio.create_task(self._tick(link))
        try:
            await link.finished.wait()
        finally:
            ticking.cancel()
            self._link = None
            await link.leave()

    async def _tick(self, link: BrokerLink) -> None:
        while True:
            await self._clock.sleep(min(1.0, self._config.keepalive_s / 4))
            link.tick()


def _prepared(config: BrokerConfig) -> tuple[Subscription, ssl.SSLContext | None]:
    # Files are read anew for each connection, so that rotated secrets and certificates are taken up.
    password = read_secret(config.password_file).encode() if config.password_file else None
    wanted = Subscription(
        client_id=config.client_id,
        topics=tuple(config.topics),
        keepalive_s=config.keepalive_s,
        max_packet_bytes=config.max_packet_bytes,
        session_expiry_s=config.session_expiry_s,
        answer_timeout_s=config.connect_timeout_s,
        username=config.username,
        password=password,
    )
    return wanted, client_context(config.tls) if config.tls else None
