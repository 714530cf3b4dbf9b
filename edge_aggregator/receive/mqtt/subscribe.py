"""SUBSCRIBE, UNSUBSCRIBE and their answers (MQTT 5 sections 3.8 to 3.11)."""

from __future__ import annotations

from dataclasses import dataclass

from edge_aggregator.receive.mqtt.properties import read_properties
from edge_aggregator.receive.mqtt.wire import Cursor, Kind, MalformedPacketError, Version, packet, text

_HIGHEST_QOS = 2


def _no_properties(version: Version) -> bytes:
    return b"\0" if version is Version.V5 else b""


def _packet_id(cursor: Cursor, kind: Kind) -> int:
    packet_id = cursor.integer(2)
    if packet_id == 0:
        raise MalformedPacketError(f"{kind.name} has the packet identifier 0")
    return packet_id


def _skip_properties(cursor: Cursor, version: Version) -> None:
    if version is Version.V5:
        read_properties(cursor)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Topic filters, each with the highest QoS wanted."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]

    def encode(self, version: Version) -> bytes:
        """The packet's bytes."""
        body = b"".join(text(topic) + bytes((qos,)) for topic, qos in self.filters)
        return packet(Kind.SUBSCRIBE, self.packet_id.to_bytes(2) + _no_properties(version) + body)

    @classmethod
    def decode(cls, body: bytes, version: Version) -> Subscribe:
        """Read a SUBSCRIBE. Raises MalformedPacketError."""
        cursor = Cursor(body)
        packet_id = _packet_id(cursor, Kind.SUBSCRIBE)
        _skip_properties(cursor, version)
        filters = []
        while cursor.left():
            topic, options = cursor.text(), cursor.integer(1)
            if options & 3 > _HIGHEST_QOS or options & (0xC0 if version is Version.V5 else 0xFC):
                raise MalformedPacketError(f"SUBSCRIBE has impossible options {options:#04x}")
            filters.append((topic, options & 3))
        if not filters:
            raise MalformedPacketError("SUBSCRIBE names no topic filter")
        return cls(packet_id, tuple(filters))


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Topic filters that are no longer wanted."""

    packet_id: int
    filters: tuple[str, ...]

    def encode(self, version: Version) -> bytes:
        """The packet's bytes."""
        body = b"".join(text(topic) for topic in self.filters)
        return packet(Kind.UNSUBSCRIBE, self.packet_id.to_bytes(2) + _no_properties(version) + body)

    @classmethod
    def decode(cls, body: bytes, version: Version) -> Unsubscribe:
        """Read an UNSUBSCRIBE. Raises MalformedPacketError."""
        cursor = Cursor(body)
        packet_id = _packet_id(cursor, Kind.UNSUBSCRIBE)
        _skip_properties(cursor, version)
        filters = []
        while cursor.left():
            filters.append(cursor.text())
        if not filters:
            raise MalformedPacketError("UNSUBSCRIBE names no topic filter")
        return cls(packet_id, tuple(filters))


@dataclass(frozen=True, slots=True)
class Suback:
    """One reason code a filter: the QoS granted, or a refusal from 0x80 on."""

    packet_id: int
    reasons: bytes

    def encode(self, version: Version) -> bytes:
        """The packet's bytes."""
        return packet(Kind.SUBACK, self.packet_id.to_bytes(2) + _no_properties(version) + self.reasons)

    @classmethod
    def decode(cls, body: bytes, version: Version) -> Suback:
        """Read a SUBACK. Raises MalformedPacketError."""
        cursor = Cursor(body)
        packet_id = _packet_id(cursor, Kind.SUBACK)
        _skip_properties(cursor, version)
        return cls(packet_id, cursor.take(cursor.left()))


@dataclass(frozen=True, slots=True)
class Unsuback:
    """The answer to an UNSUBSCRIBE; only MQTT 5 gives a reason code a filter."""

    packet_id: int
    reasons: bytes = b""

    def encode(self, version: Version) -> bytes:
        """The packet's bytes."""
        tail = _no_properties(version) + self.reasons if version is Version.V5 else b""
        return packet(Kind.UNSUBACK, self.packet_id.to_bytes(2) + tail)

    @classmethod
    def decode(cls, body: bytes, version: Version) -> Unsuback:
        """Read an UNSUBACK. Raises MalformedPacketError."""
        cursor = Cursor(body)
        packet_id = _packet_id(cursor, Kind.UNSUBACK)
        _skip_properties(cursor, version)
        return cls(packet_id, cursor.take(cursor.left()))
