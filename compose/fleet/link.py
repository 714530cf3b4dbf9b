"""A device's MQTT connection: paho-mqtt, QoS 1, counting what was sent and what was acknowledged."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_aggregator.receive.config import TlsConfig
from edge_aggregator.receive.mqtt.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Callable


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where devices connect; without a username they do so anonymously, or as their certificate says."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: TlsConfig | None = None


class Message(NamedTuple):
    """A message as it waits for its PUBACK."""

    topic: str
    payload: bytes
    retain: bool


class DeviceLink:
    """One connection at a time. `on_command` is called on paho's thread with the payload of each command."""

    def __init__(
        self, address: BrokerAddress, client_id: str, command_topic: str, on_command: Callable[[bytes], None]
    ) -> None:
        self._address, self._client_id, self._command_topic = address, client_id, command_topic
        self._on_command = on_command
        self._unacknowledged: dict[int, Message] = {}
        self._early: set[int] = set()
        self._lock = threading.Lock()
        self._connected = threading.Event()
        self._will: tuple[str, bytes] | None = None
        self._client = self._new_client()

    def will(self, topic: str, payload: bytes) -> None:
        """What the broker says for us when the connection breaks; takes effect at the next connection."""
        self._will = topic, payload

    def connect(self) -> None:
        """Connect and go on trying. Blocks until the first connection stands or 10 s have passed.

        What an earlier connection did not bring across is sent again: it has been waiting in flash.
        """
        self._connected.clear()
        with self._lock:
            kept, self._unacknowledged = list(self._unacknowledged.values()), {}
            self._early.clear()
        self._client = self._new_client()
        # Not `connect`: a device that boots while its gateway is away must try again, not give up.
        self._client.connect_async(self._address.host, self._address.port, keepalive=30)
        self._client.loop_start()
        self._connected.wait(10)
        for message in kept:
            self.publish(message.topic, message.payload, retain=message.retain)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue one QoS 1 message."""
        # NOT under our lock (a deadlock): paho's thread holds its own while it waits for ours in `_on_publish`.
        message = self._client.publish(topic, payload, qos=1, retain=retain)
        with self._lock:
            if message.mid in self._early:
                self._early.discard(message.mid)
            else:
                self._unacknowledged[message.mid] = Message(topic, payload, retain)

    def connected(self) -> bool:
        """Whether the gateway has been reached since `connect`."""
        return self._connected.is_set()

    def unacknowledged(self) -> int:
        """Messages that wait for their PUBACK."""
        with self._lock:
            return len(self._unacknowledged)

    def close(self) -> None:
        """Say goodbye: no last will."""
        self._client.disconnect()
        self._client.loop_stop()

    def drop(self) -> None:
        """Break the connection as a crash does: the broker publishes the last will."""
        self._client.loop_stop()
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def freeze(self) -> None:
        """Die with the connection open, as a machine without power does: only silence tells."""
        self._client.loop_stop()

    def _new_client(self) -> paho.Client:
        # A client for each connection: paho's own does not let go of its sockets when it is started again.
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, clean_session=False)
        client.max_inflight_messages_set(20)
        client.reconnect_delay_set(1, 5)
        if self._address.username:
            client.username_pw_set(self._address.username, self._address.password)
        if self._address.tls:
            client.tls_set_context(client_context(self._address.tls))
        if self._will:
            client.will_set(*self._will, qos=1, retain=True)
        client.on_connect, client.on_publish = self._on_connect, self._on_publish
        client.on_message = lambda _client, _data, message: self._on_command(bytes(message.payload))
        return client

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            client.subscribe(self._command_topic, qos=1)
            self._connected.set()

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        with self._lock:
            if self._unacknowledged.pop(mid, None) is None:
                self._early.add(mid)
