"""Many devices that send QoS 1 as fast as anybody reads, and never wait for an acknowledgement: to fill a gateway's intake."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.connect import Connect
from edge_aggregator.receive.mqtt.publish import Publish
from edge_aggregator.receive.mqtt.wire import Version
from ingest.contract.topics import device_topic

if TYPE_CHECKING:
    from compose.fleet.link import BrokerAddress

_ACK = b"\x40\x02"
_CONNACK_BYTES = 4
_SAMPLES = 10
_PAYLOAD = b'{"ts":%%d,"metrics":{%s}}' % b",".join(b'"m%d":%d' % (number, number) for number in range(_SAMPLES))


class Flood:
    """`acknowledged` counts messages over all connections; each of them sends the packets of `said` once."""

    SAMPLES = _SAMPLES
    """Of each message."""

    def __init__(self, site: str, devices: int, messages: int, ts: int) -> None:
        self._site, self._messages, self._ts = site, messages, ts
        self._names = [f"flood-{number:03}" for number in range(devices)]
        self._writers: list[asyncio.StreamWriter] = []
        self._reading: list[asyncio.Task[None]] = []
        self.acknowledged = 0

    async def connect(self, address: BrokerAddress) -> None:
        """All of them."""
        for name in self._names:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(Connect(version=Version.V311, client_id=name).encode())
            await reader.readexactly(_CONNACK_BYTES)
            self._writers.append(writer)
            self._reading.append(asyncio.create_task(self._read(reader)))

    def pour(self) -> None:
        """Let the kernel and the gateway take what they will."""
        for name, writer in zip(self._names, self._writers, strict=True):
            writer.write(self._said(name))

    def left(self) -> int:
        """Bytes that nobody has taken yet."""
        return sum(writer.transport.get_write_buffer_size() for writer in self._writers)

    async def end(self) -> None:
        """Hang up, when all that was answered has been read."""
        await asyncio.gather(*self._reading)
        for writer in self._writers:
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(64 * 1024):
                rest += chunk
                whole = len(rest) // 4
                assert all(rest[at : at + 2] == _ACK for at in range(0, whole * 4, 4))
                self.acknowledged += whole
                rest = rest[whole * 4 :]

    def _said(self, name: str) -> bytes:
        topic = device_topic(self._site, name, "telemetry")
        return b"".join(
            Publish(topic=topic, payload=_PAYLOAD % (self._ts + number), qos=1, packet_id=number + 1).encode(
                Version.V311
            )
            for number in range(self._messages)
        )
