"""Commands through a real Mosquitto: acknowledged by it, never retained, and honest while it is away."""

from __future__ import annotations

import asyncio
import queue
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_aggregator.receive.config import BrokerConfig
from edge_aggregator.receive.mqtt.downlink import BrokerDownlink
from edge_aggregator.receive.mqtt.tls import server_context
from ingest.runtime.clock import SystemClock
from tests.mqtt_intake import DEADLINE_S, until
from tests.mqtt_relay import relay
from tests.mqtt_tls import certificates
from tests.tcp_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from compose.stack.endpoints import MqttEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers("mosquitto")


def config(endpoint: MqttEndpoint, folder: Path, **changes: Any) -> BrokerConfig:
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(endpoint.password)
    fields = {
        "host": endpoint.host,
        "port": endpoint.port,
        "client_id": f"edge-{uuid.uuid4().hex[:8]}",
        "topics": ["tidegate/#"],
        "username": endpoint.username,
        "password_file": str(password_file),
    }
    return BrokerConfig(**(fields | changes))


@contextmanager
def subscribed(endpoint: MqttEndpoint, topic: str) -> Iterator[queue.Queue[tuple[bytes, int, bool]]]:
    arrived: queue.Queue[tuple[bytes, int, bool]] = queue.Queue()
    confirmed: queue.Queue[int] = queue.Queue()

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        arrived.put((message.payload, message.qos, message.retain))

    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(endpoint.device_username, endpoint.device_password)
    client.on_message = on_message
    client.on_subscribe = lambda _c, _d, mid, _codes, _p: confirmed.put(mid)
    client.connect(endpoint.host, endpoint.port)
    client.loop_start()
    client.subscribe(topic, qos=1)
    try:
        confirmed.get(timeout=DEADLINE_S)
        yield arrived
    finally:
        client.disconnect()
        client.loop_stop()


async def test_a_command_is_acknowledged_delivered_and_not_kept(
    mosquitto: RunningServer[MqttEndpoint], tmp_path: Path
) -> None:
    topic = f"tidegate/v1/{uuid.uuid4().hex}/d1/command"
    downlink = BrokerDownlink(config(mosquitto.endpoint, tmp_path), SystemClock())
    assert not await downlink.publish(topic, b"not started")
    await downlink.start()
    try:
        await until(lambda: downlink.state() == "connected")
        with subscribed(mosquitto.endpoint, topic) as arrived:
            assert all(await asyncio.gather(*(downlink.publish(topic, b"%d" % n) for n in range(50))))
            found = [await asyncio.to_thread(arrived.get, timeout=DEADLINE_S) for _ in range(50)]
            assert sorted(found) == sorted((b"%d" % n, 1, False) for n in range(50))
        with subscribed(mosquitto.endpoint, topic) as arrived:
            assert await downlink.publish(topic, b"later")
            assert (await asyncio.to_thread(arrived.get, timeout=DEADLINE_S))[0] == b"later"
        assert downlink.counters["commands_acknowledged"] == 51
    finally:
        await downlink.close()


async def test_while_the_broker_is_away_nothing_is_sent_and_nothing_is_queued(
    mosquitto: RunningServer[MqttEndpoint], tmp_path: Path
) -> None:
    topic = f"tidegate/v1/{uuid.uuid4().hex}/d1/command"
    downlink = BrokerDownlink(config(mosquitto.endpoint, tmp_path), SystemClock())
    await downlink.start()
    try:
        await until(lambda: downlink.state() == "connected")
        await asyncio.to_thread(mosquitto.stop)
        await until(lambda: downlink.state() != "connected")
        assert not await downlink.publish(topic, b"lost")
        assert downlink.counters["commands_undeliverable"] == 1
        await asyncio.to_thread(mosquitto.start)
        await until(lambda: downlink.state() == "connected")
        with subscribed(mosquitto.endpoint, topic) as arrived:
            assert await downlink.publish(topic, b"now")
            assert (await asyncio.to_thread(arrived.get, timeout=DEADLINE_S))[0] == b"now"
    finally:
        await downlink.close()


async def test_a_refused_password_is_said(mosquitto: RunningServer[MqttEndpoint], tmp_path: Path) -> None:
    downlink = BrokerDownlink(config(mosquitto.endpoint, tmp_path, username="nobody"), SystemClock())
    await downlink.start()
    try:
        await until(lambda: "refused the connection: not authorised" in downlink.state())
    finally:
        await downlink.close()


async def test_a_broker_that_never_acknowledges_is_not_waited_for() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x20\x02\0\0")
        while await reader.read(1000):
            pass

    async with serving(mute) as port:
        downlink = BrokerDownlink(BrokerConfig(port=port, client_id="edge", topics=["#"]), SystemClock(), timeout_s=0.2)
        await downlink.start()
        try:
            await until(lambda: downlink.state() == "connected")
            assert not await downlink.publish("tidegate/v1/s/d1/command", b"go")
            assert downlink.counters["commands_unanswered"] == 1
        finally:
            await downlink.close()


async def test_tls_with_a_client_certificate(mosquitto: RunningServer[MqttEndpoint], tmp_path: Path) -> None:
    files = certificates(tmp_path)
    endpoint = mosquitto.endpoint
    async with relay(endpoint.host, endpoint.port, tls=server_context(files.server)) as between:
        downlink = BrokerDownlink(config(endpoint, tmp_path, port=between.port, tls=files.client), SystemClock())
        await downlink.start()
        try:
            await until(lambda: downlink.state() == "connected")
            assert await downlink.publish("tidegate/v1/s/d1/command", b"go")
        finally:
            await downlink.close()
