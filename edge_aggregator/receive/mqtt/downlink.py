"""Commands in broker mode: paho-mqtt publishes them, its network thread runs beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edge_aggregator.receive.mqtt.answer import positive_within
from edge_aggregator.receive.mqtt.tls import client_context
from ingest.runtime.secrets import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_aggregator.receive.config import BrokerConfig
    from ingest.runtime.clock import Clock

_MOST_WAITING = 1000
_MOST_RECONNECT_S = 10


class PahoDownlink:
    """A Downlink through a broker: QoS 1, True once the broker has acknowledged.

    Nothing is queued while the broker is away: a command that was not acknowledged is its caller's to send again. It
    speaks MQTT 3.1.1, which every broker does, under a client identifier of its own. `counters` are totals.
    """

    def __init__(self, config: BrokerConfig, clock: Clock, *, timeout_s: float = 10.0) -> None:
        self._config, self._clock, self._timeout_s = config, clock, timeout_s
        self.counters: Counter[str] = Counter()
        self._answers: dict[int, asyncio.Future[bool]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reason = f"connecting to {config.host}:{config.port}"
        self._client = Client(CallbackAPIVersion.VERSION2, f"{config.client_id}-commands", protocol=MQTTv311)

    async def start(self) -> None:
        """Connect in the background, now and after every loss. Raises OSError, SecretError for unreadable files."""
        self._loop = asyncio.get_running_loop()
        client, config = self._client, self._config
        await asyncio.to_thread(_secure, client, config)
        client.max_queued_messages_set(_MOST_WAITING)
        client.reconnect_delay_set(1, _MOST_RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.connect_async(config.host, config.port, config.keepalive_s)
        client.loop_start()

    async def close(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        self._loop = None

    def state(self) -> str:
        """For `/readyz`: "connected", or the reason why not."""
        return "connected" if self._client.is_connected() else self._reason

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send; True once the broker has acknowledged, False when it is away or stays silent for the timeout."""
        if not self._client.is_connected():
            self.counters["commands_undeliverable"] += 1
            return False
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.counters["commands_undeliverable"] += 1
            return False
        # The acknowledgement is handed to this very loop, so it cannot overtake the line below.
        answer = self._answers[info.mid] = asyncio.get_running_loop().create_future()
        acknowledged = await positive_within(answer, self._clock, self._timeout_s)
        self._answers.pop(info.mid, None)
        self.counters["commands_acknowledged" if acknowledged else "commands_unanswered"] += 1
        return acknowledged

    # The callbacks run on paho's thread.

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._reason = f"the broker refused the connection: {reason}" if reason.is_failure else ""
        self._on_loop(self._count, "connections_refused" if reason.is_failure else "connections")

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._reason.startswith("the broker refused"):
            self._reason = f"the connection was lost: {reason}"
        self._on_loop(self._count, "disconnections")

    def _on_publish(self, _client: Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._on_loop(self._acknowledged, mid)

    def _on_loop(self, call: Callable[..., None], *args: Any) -> None:
        if self._loop:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(call, *args)

    def _count(self, what: str) -> None:
        self.counters[what] += 1

    def _acknowledged(self, mid: int) -> None:
        answer = self._answers.get(mid)
        if answer and not answer.done():
            answer.set_result(True)


def _secure(client: Client, config: BrokerConfig) -> None:
    if config.username:
        client.username_pw_set(config.username, read_secret(config.password_file) if config.password_file else None)
    if config.tls:
        client.tls_set_context(client_context(config.tls))
