"""A device that sends as fast as it is told: `python -m compose.bench.flooder PORT NAME RATE SECONDS` prints the rate reached.

It hands on an hour of history, a message for each millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys

from edge_aggregator.receive.mqtt.connect import Connect
from edge_aggregator.receive.mqtt.publish import Publish
from edge_aggregator.receive.mqtt.wire import Version
from ingest.contract.topics import device_topic
from ingest.runtime.clock import SystemClock

SITE, METRICS = "north", 10
IDS = 1000
"""Packet identifiers in use."""
PUBACK_BYTES = 4
_CONNACK_BYTES = 4
_READ_BYTES = 1 << 16
_TURN_S = 0.01
_AT_ONCE = 200
_HISTORY_MS = 3_600_000
_CLOCK = SystemClock()


async def flood(port: int, device: str, rate: float, seconds: float) -> float:
    """Send for so long; how many messages per second were acknowledged. `rate` inf: as fast as they are read."""
    reader, writer = await connected(port, device)
    acknowledged, begun = [0], _CLOCK.monotonic()
    reading = asyncio.create_task(_count(reader, acknowledged))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds + 1.0):
            await _send(writer, device, rate, begun + seconds)
    took = _CLOCK.monotonic() - begun
    reading.cancel()
    writer.transport.abort()
    return acknowledged[0] / took


async def _send(writer: asyncio.StreamWriter, device: str, rate: float, until: float) -> None:
    begun, sent, ts = _CLOCK.monotonic(), 0, _CLOCK.now_ms() - _HISTORY_MS
    while (now := _CLOCK.monotonic()) < until:
        due = _AT_ONCE if math.isinf(rate) else min(IDS, int((now - begun) * rate) - sent)
        writer.write(b"".join(publish(device, n % IDS + 1, ts + n) for n in range(sent, sent + due)))
        sent += due
        await writer.drain()
        await asyncio.sleep(0 if math.isinf(rate) else _TURN_S)


async def _count(reader: asyncio.StreamReader, acknowledged: list[int]) -> None:
    while chunk := await reader.read(_READ_BYTES):
        acknowledged[0] += len(chunk) // PUBACK_BYTES


async def connected(port: int, device: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of a device, taken by the listener."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(Connect(version=Version.V311, client_id=device).encode())
    await reader.readexactly(_CONNACK_BYTES)
    return reader, writer


def publish(device: str, packet_id: int, ts: int) -> bytes:
    """A message of ten metrics at QoS 1, of the time `ts` (ms)."""
    numbers = b",".join(b'"m%d":%d.%d' % (metric, ts % 1000, metric) for metric in range(METRICS))
    payload = b'{"ts":%d,"metrics":{%b}}' % (ts, numbers)
    topic = device_topic(SITE, device, "telemetry")
    return Publish(topic=topic, payload=payload, qos=1, packet_id=packet_id).encode(Version.V311)


if __name__ == "__main__":
    print(asyncio.run(flood(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))))
