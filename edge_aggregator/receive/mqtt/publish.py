"""PUBLISH as it is sent, PUBACK and PING; how PUBLISH is read is in `scan` (MQTT 5 sections 3.3, 3.4, 3.12)."""

from __future__ import annotations

from typing import NamedTuple

from edge_aggregator.receive.mqtt.properties import read_properties
from edge_aggregator.receive.mqtt.wire import Cursor, Kind, MalformedPacketError, Version, packet, text

PINGREQ = packet(Kind.PINGREQ, b"")
PINGRESP = packet(Kind.PINGRESP, b"")
_SHORT, _NO_IDENTIFIER = 2, bytes(2)
"""What nearly every PUBACK is: an identifier, and nothing else."""


class Publish(NamedTuple):
    """An application message; `packet_id` is 0 exactly where `qos` is 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int = 0

    def encode(self, version: Version) -> bytes:
        """The packet's bytes."""
        identifier = self.packet_id.to_bytes(2) if self.qos else b""
        properties = b"\0" if version is Version.V5 else b""
        body = text(self.topic) + identifier + properties + self.payload
        return packet(Kind.PUBLISH, body, self.qos << 1 | self.retain)


class Puback(NamedTuple):
    """The acknowledgement of a QoS 1 message; MQTT 5 may refuse it (reason 0x80 and above)."""

    packet_id: int
    reason: int = 0

    def encode(self) -> bytes:
        """The packet's bytes, the short form that both versions read."""
        return packet(Kind.PUBACK, self.packet_id.to_bytes(2) + (bytes((self.reason,)) if self.reason else b""))

    @classmethod
    def decode(cls, body: bytes, version: Version) -> Puback:
        """Read a PUBACK. Raises MalformedPacketError."""
        if len(body) == _SHORT and body != _NO_IDENTIFIER:
            return cls(int.from_bytes(body))
        cursor = Cursor(body)
        packet_id = cursor.integer(2)
        if packet_id == 0:
            raise MalformedPacketError("PUBACK has the packet identifier 0")
        reason = cursor.integer(1) if version is Version.V5 and cursor.left() else 0
        if version is Version.V5 and cursor.left():
            read_properties(cursor)
        cursor.finish(Kind.PUBACK)
        return cls(packet_id, reason)
