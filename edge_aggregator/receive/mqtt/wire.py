"""The data types of MQTT's wire (MQTT 5 section 1.5, MQTT 3.1.1 section 1.5), every length checked."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

LONGEST_FIELD = 65_535
LONGEST_PACKET = 268_435_455
_MORE = 0x80
_VARINT_BYTES = 4
_ONE_BYTE = [bytes((number,)) for number in range(_MORE)]


class MalformedPacketError(ValueError):
    """Bytes that are no MQTT, or a packet that its sender may not send; the connection cannot be read any further."""


class Version(IntEnum):
    """The protocol level as CONNECT carries it."""

    V311 = 4
    V5 = 5


class Kind(IntEnum):
    """Packet types: the high half of a packet's first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


_FLAGS = dict.fromkeys(Kind, 0) | {Kind.SUBSCRIBE: 2, Kind.UNSUBSCRIBE: 2}
_KINDS = {kind << 4 | flags: kind for kind, flags in _FLAGS.items()}
"""By first byte; PUBLISH has other flags as well."""


def kind_of(head: int) -> Kind:
    """The type of a packet other than PUBLISH, by its first byte. Raises MalformedPacketError on reserved bits."""
    if head in _KINDS:
        return _KINDS[head]
    try:
        kind = Kind(head >> 4)
    except ValueError:
        raise MalformedPacketError(f"packet type {head >> 4} is none that is used here") from None
    if kind is not Kind.PUBLISH and head & 0x0F != _FLAGS[kind]:
        raise MalformedPacketError(f"{kind.name} has the flags {head & 0x0F}, expected {_FLAGS[kind]}")
    return kind


class Frame(NamedTuple):
    """Where a packet's body begins and ends in a buffer (the end may lie beyond it)."""

    start: int
    end: int


def frame_at(buffer: bytes | bytearray, at: int) -> Frame | None:
    """Read the fixed header at `at`; None while it is incomplete."""
    length = 0
    for place in range(_VARINT_BYTES):
        position = at + 1 + place
        if position >= len(buffer):
            return None
        byte = buffer[position]
        length |= (byte & ~_MORE) << (7 * place)
        if byte < _MORE:
            return Frame(position + 1, position + 1 + length)
    raise MalformedPacketError("the remaining length has more than four bytes")


def varint(number: int) -> bytes:
    """Encode a variable byte integer. Raises ValueError beyond 268,435,455."""
    if not 0 <= number <= LONGEST_PACKET:
        raise ValueError(f"{number} does not fit a variable byte integer")
    if number < _MORE:
        return _ONE_BYTE[number]
    out = bytearray()
    while number >= _MORE:
        out.append(number & ~_MORE & 0xFF | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def binary(data: bytes) -> bytes:
    """Encode binary data: two bytes of length, then the data. Raises ValueError beyond 65,535 bytes."""
    if len(data) > LONGEST_FIELD:
        raise ValueError(f"a field of {len(data)} bytes, MQTT allows {LONGEST_FIELD}")
    return len(data).to_bytes(2) + data


def text(string: str) -> bytes:
    """Encode a UTF-8 string."""
    return binary(string.encode())


def packet(kind: Kind, body: bytes, flags: int | None = None) -> bytes:
    """A whole packet: first byte, remaining length, body."""
    return bytes((kind << 4 | (_FLAGS[kind] if flags is None else flags),)) + varint(len(body)) + body


def decode_text(data: bytes) -> str:
    """Decode a UTF-8 string (MQTT 5 section 1.5.4: no surrogates, no U+0000)."""
    try:
        string = data.decode()
    except UnicodeDecodeError:
        raise MalformedPacketError("a string is not UTF-8") from None
    if "\0" in string:
        raise MalformedPacketError("a string contains U+0000")
    return string


class Cursor:
    """Takes a packet's fields in order. Raises MalformedPacketError where a field would go beyond the packet."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise MalformedPacketError(f"a field of {count} bytes goes {end - len(self._data)} beyond its packet")
        taken, self._at = self._data[self._at : end], end
        return taken

    def integer(self, width: int) -> int:
        """An unsigned big-endian integer of `width` bytes."""
        return int.from_bytes(self.take(width))

    def varint(self) -> int:
        """A variable byte integer."""
        number = 0
        for place in range(_VARINT_BYTES):
            byte = self.integer(1)
            number |= (byte & ~_MORE) << (7 * place)
            if byte < _MORE:
                return number
        raise MalformedPacketError("a variable byte integer has more than four bytes")

    def binary(self) -> bytes:
        """Binary data with its two bytes of length."""
        return self.take(self.integer(2))

    def text(self) -> str:
        """A UTF-8 string."""
        return decode_text(self.binary())

    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def finish(self, kind: Kind) -> None:
        """Nothing may be left over."""
        if self.left():
            raise MalformedPacketError(f"{kind.name} has {self.left()} bytes too many")
