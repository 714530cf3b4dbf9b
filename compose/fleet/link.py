"""A device's MQTT connection: paho-mqtt, QoS 1, counting what was sent and what was acknowledged."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Callable


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where devices connect; without a username they do so anonymously."""

    host: str
    port: int
    username: str = ""
    password: str = ""


class DeviceLink:
    """One connection. `on_command` is called on paho's thread with the payload of each command."""

    def __init__(
        self, address: BrokerAddress, client_id: str, command_topic: str, on_command: Callable[[bytes], None]
    ) -> None:
        self._address, self._command_topic = address, command_topic
        self._unacknowledged: set[int] = set()
        self._early: set[int] = set()
        self._lock = threading.Lock()
        self._connected = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        self._client.max_inflight_messages_set(20)
        self._client.reconnect_delay_set(1, 5)
        if address.username:
            self._client.username_pw_set(address.username, address.password)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_message = lambda _client, _data, message: on_command(bytes(message.payload))

    def will(self, topic: str, payload: bytes) -> None:
        """What the broker says for us when the connection breaks; takes effect at the next connection."""
        self._client.will_set(topic, payload, qos=1, retain=True)

    def connect(self) -> None:
        """Connect and go on trying. Blocks until the first connection stands or 10 s have passed."""
        self._connected.clear()
        # Not `connect`: a device that boots while its gateway is away must try again, not give up.
        self._client.connect_async(self._address.host, self._address.port, keepalive=30)
        self._client.loop_start()
        self._connected.wait(10)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue one QoS 1 message."""
        # Not under our lock: paho's thread holds its own while it waits for ours in `_on_publish`.
        message = self._client.publish(topic, payload, qos=1, retain=retain)
        with self._lock:
            if message.mid in self._early:
                self._early.discard(message.mid)
            else:
                self._unacknowledged.add(message.mid)

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

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            client.subscribe(self._command_topic, qos=1)
            self._connected.set()

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        with self._lock:
            if mid in self._unacknowledged:
                self._unacknowledged.discard(mid)
            else:
                self._early.add(mid)
