"""MQTT 5 properties (section 2.2.2): read into a dictionary, or written from one."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.wire import MalformedPacketError, binary, text, varint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_aggregator.receive.mqtt.wire import Cursor

type_of_value = int | str | bytes


class Property(IntEnum):
    """The properties that are acted upon here."""

    SESSION_EXPIRY_INTERVAL = 0x11
    SERVER_KEEP_ALIVE = 0x13
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    MAXIMUM_QOS = 0x24
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


_WIDTHS = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
_TEXTS = frozenset({0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F})
_BINARIES = frozenset({0x09, 0x16})
_SUBSCRIPTION_IDENTIFIER = 0x0B
_USER_PROPERTY = 0x26
_REPEATABLE = frozenset({_SUBSCRIPTION_IDENTIFIER, _USER_PROPERTY})

Properties = dict[int, type_of_value]


def read_properties(cursor: Cursor) -> Properties:
    """Read a packet's properties; user properties are passed over. Raises MalformedPacketError."""
    end = cursor.varint()
    end = cursor.left() - end
    if end < 0:
        raise MalformedPacketError(f"the properties go {-end} bytes beyond their packet")
    found: Properties = {}
    while cursor.left() > end:
        identifier = cursor.varint()
        if identifier in found and identifier not in _REPEATABLE:
            raise MalformedPacketError(f"property {identifier:#04x} comes twice")
        found[identifier] = _value(cursor, identifier)
    if cursor.left() != end:
        raise MalformedPacketError("a property goes beyond the properties' length")
    return found


def _value(cursor: Cursor, identifier: int) -> type_of_value:
    if width := _WIDTHS.get(identifier):
        return cursor.integer(width)
    if identifier in _TEXTS:
        return cursor.text()
    if identifier in _BINARIES:
        return cursor.binary()
    if identifier == _SUBSCRIPTION_IDENTIFIER:
        return cursor.varint()
    if identifier == _USER_PROPERTY:
        return f"{cursor.text()}={cursor.text()}"
    raise MalformedPacketError(f"property {identifier:#04x} does not exist")


def write_properties(values: Mapping[int, type_of_value]) -> bytes:
    """Encode properties with their length in front; integers by their property's width."""
    body = b"".join(varint(identifier) + _encode(identifier, value) for identifier, value in values.items())
    return varint(len(body)) + body


def _encode(identifier: int, value: type_of_value) -> bytes:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return binary(value)
    return value.to_bytes(_WIDTHS[identifier])


def number(values: Properties, identifier: Property, default: int) -> int:
    """An integer property, or `default` where it is absent."""
    value = values.get(identifier, default)
    return value if isinstance(value, int) else default
