"""Our encoders against the bytes that paho-mqtt puts on the wire for the same intent, and its reading of ours."""

from __future__ import annotations

import asyncio

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTProtocolVersion
from paho.mqtt.enums import CallbackAPIVersion

from edge_aggregator.receive.mqtt.connect import Connack, Connect, Disconnect, Will
from edge_aggregator.receive.mqtt.publish import Puback, Publish
from edge_aggregator.receive.mqtt.subscribe import Suback, Subscribe, Unsuback, Unsubscribe
from edge_aggregator.receive.mqtt.wire import Version, frame_at
from tests.mqtt_intake import until
from tests.tcp_server import serving


class RecordingBroker:
    """Keeps every packet as it came, and answers with our own encoders."""

    def __init__(self, version: Version) -> None:
        self.version, self.packets = version, list[bytes]()
        self.answers = {
            1: Connack().encode(version),
            8: Suback(1, b"\1").encode(version)
            + Publish(topic="down", payload=b"go", qos=1, packet_id=77).encode(version),
            10: Unsuback(2, b"\0").encode(version),
            3: Puback(3).encode(),
        }

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = b""
        while chunk := await reader.read(1000):
            buffer += chunk
            while (frame := frame_at(buffer, 0)) and frame.end <= len(buffer):
                self.packets.append(buffer[: frame.end])
                writer.write(self.answers.get(buffer[0] >> 4, b""))
                buffer = buffer[frame.end :]


@pytest.mark.parametrize("version", list(Version))
async def test_paho_says_the_same_bytes_and_reads_ours(version: Version) -> None:
    broker = RecordingBroker(version)
    client = Client(CallbackAPIVersion.VERSION2, "pump-1", protocol=MQTTProtocolVersion(int(version)))
    client.username_pw_set("user", "pass")
    client.will_set("t/state", b"lost", qos=1, retain=True)
    happened: list[str] = []
    commands: list[MQTTMessage] = []
    client.on_connect = lambda *_: happened.append("connected")
    client.on_subscribe = lambda *_: happened.append("subscribed")
    client.on_unsubscribe = lambda *_: happened.append("unsubscribed")
    client.on_publish = lambda *_: happened.append("published")
    client.on_message = lambda _client, _data, message: commands.append(message)
    async with serving(broker.handle) as port:
        client.connect_async("127.0.0.1", port, 45)
        client.loop_start()
        try:
            await until(lambda: happened == ["connected"])
            client.subscribe("t/command", qos=1)
            await until(lambda: len(happened) == 2 and commands)
            client.unsubscribe("t/command")
            await until(lambda: len(happened) == 3)
            client.publish("t/telemetry", b"x" * 300, qos=1, retain=True)
            await until(lambda: len(happened) == 4)
            client.publish("t/telemetry", b"", qos=0)
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)
    assert happened == ["connected", "subscribed", "unsubscribed", "published"] + ["published"] * (len(happened) - 4)
    assert (commands[0].topic, commands[0].payload, commands[0].qos) == ("down", b"go", 1)
    assert broker.packets == [
        Connect(
            version=version,
            client_id="pump-1",
            keepalive_s=45,
            will=Will("t/state", b"lost", 1, retain=True),
            username="user",
            password=b"pass",
        ).encode(),
        Subscribe(1, (("t/command", 1),)).encode(version),
        Puback(77).encode(),
        Unsubscribe(2, ("t/command",)).encode(version),
        Publish(topic="t/telemetry", payload=b"x" * 300, qos=1, retain=True, packet_id=3).encode(version),
        Publish(topic="t/telemetry", payload=b"").encode(version),
        Disconnect().encode(version),
    ]
