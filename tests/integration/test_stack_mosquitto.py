"""The stack's Mosquitto, with the client that the project uses."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from compose.stack.errors import NotReady
from compose.stack.mqtt_probe import probe_mqtt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose.stack.endpoints import MqttEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers

DEADLINE_S = 90.0


@contextmanager
def connected(endpoint: MqttEndpoint, user: str, secret: str) -> Iterator[Client]:
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(user, secret)
    accepted = threading.Event()
    client.on_connect = lambda *_: accepted.set()
    client.connect(endpoint.host, endpoint.port)
    client.loop_start()
    try:
        assert accepted.wait(DEADLINE_S)
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def as_gateway(endpoint: MqttEndpoint) -> Iterator[Client]:
    with connected(endpoint, endpoint.username, endpoint.password) as client:
        yield client


@contextmanager
def as_device(endpoint: MqttEndpoint) -> Iterator[Client]:
    with connected(endpoint, endpoint.device_username, endpoint.device_password) as client:
        yield client


def subscribed(client: Client, topic: str) -> queue.Queue[tuple[str, bytes]]:
    """Messages of a topic, from the moment on at which the broker has confirmed the subscription."""
    arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
    confirmed: queue.Queue[int] = queue.Queue()

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        arrived.put((message.topic, bytes(message.payload)))

    client.on_message = on_message
    client.on_subscribe = lambda _c, _d, mid, _codes, _properties: confirmed.put(mid)
    client.subscribe(topic, qos=1)
    confirmed.get(timeout=DEADLINE_S)
    return arrived


def publish(client: Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(DEADLINE_S)


def test_a_device_speaks_to_the_gateway_and_the_gateway_commands_it(mosquitto: RunningServer[MqttEndpoint]) -> None:
    with as_gateway(mosquitto.endpoint) as gateway, as_device(mosquitto.endpoint) as device:
        upward = subscribed(gateway, "tidegate/v1/+/+/telemetry")
        downward = subscribed(device, "tidegate/v1/s1/d1/command")
        publish(device, "tidegate/v1/s1/d1/telemetry", b'{"a": 1}')
        publish(gateway, "tidegate/v1/s1/d1/command", b"go back")
        assert upward.get(timeout=DEADLINE_S) == ("tidegate/v1/s1/d1/telemetry", b'{"a": 1}')
        assert downward.get(timeout=DEADLINE_S) == ("tidegate/v1/s1/d1/command", b"go back")


def test_sparkplug_flows_as_well(mosquitto: RunningServer[MqttEndpoint]) -> None:
    with as_gateway(mosquitto.endpoint) as gateway, as_device(mosquitto.endpoint) as device:
        upward = subscribed(gateway, "spBv1.0/#")
        publish(device, "spBv1.0/plant/DDATA/node/device", b"x")
        assert upward.get(timeout=DEADLINE_S) == ("spBv1.0/plant/DDATA/node/device", b"x")


def test_a_device_cannot_command(mosquitto: RunningServer[MqttEndpoint]) -> None:
    there = mosquitto.endpoint
    with as_gateway(there) as gateway, as_device(there) as forger, as_device(there) as device:
        everything = subscribed(gateway, "tidegate/v1/s2/#")
        hung_up = threading.Event()
        forger.on_disconnect = lambda *_: hung_up.set()
        publish(forger, "tidegate/v1/s2/d1/command", b"forged")
        assert hung_up.wait(DEADLINE_S)  # Mosquitto acknowledges, drops, and hangs up
        publish(device, "tidegate/v1/s2/d1/ack", b"honest")
        assert everything.get(timeout=DEADLINE_S) == ("tidegate/v1/s2/d1/ack", b"honest")
        assert everything.empty()


def test_a_device_cannot_listen_to_others_telemetry(mosquitto: RunningServer[MqttEndpoint]) -> None:
    with as_gateway(mosquitto.endpoint) as gateway, as_device(mosquitto.endpoint) as device:
        overheard = subscribed(device, "tidegate/v1/s3/#")
        publish(gateway, "tidegate/v1/s3/d1/telemetry", b"private")
        publish(gateway, "tidegate/v1/s3/d1/command", b"for devices")
        assert overheard.get(timeout=DEADLINE_S) == ("tidegate/v1/s3/d1/command", b"for devices")


def test_strangers_are_not_let_in(mosquitto: RunningServer[MqttEndpoint]) -> None:
    for stranger in (
        replace(mosquitto.endpoint, password="wrong"),
        replace(mosquitto.endpoint, username="", password=""),
    ):
        with pytest.raises(NotReady, match="Not authorized"):
            probe_mqtt(stranger)


def test_a_retained_state_survives_a_restart(mosquitto: RunningServer[MqttEndpoint]) -> None:
    with as_device(mosquitto.endpoint) as device:
        publish(device, "tidegate/v1/s4/d1/state", b"online", retain=True)
    mosquitto.restart()
    with as_gateway(mosquitto.endpoint) as gateway:
        assert subscribed(gateway, "tidegate/v1/s4/+/state").get(timeout=DEADLINE_S)[1] == b"online"
