"""CONNECT, CONNACK and DISCONNECT: how a connection begins and ends (MQTT 5 sections 3.1, 3.2, 3.14)."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_aggregator.receive.mqtt.properties import Properties, read_properties, write_properties
from edge_aggregator.receive.mqtt.wire import (
    Cursor,
    Kind,
    MalformedPacketError,
    Version,
    binary,
    packet,
    text,
)

_CLEAN, _WILL, _WILL_RETAIN, _PASSWORD, _USERNAME = 0x02, 0x04, 0x20, 0x40, 0x80
_HIGHEST_QOS = 2
REFUSED = 0x80
"""Reason codes of MQTT 5 from here on are refusals."""
DISCONNECT_WITH_WILL = 0x04


class UnsupportedVersionError(MalformedPacketError):
    """A CONNECT of a protocol version other than 3.1.1 and 5; `level` is what it asked for."""

    def __init__(self, level: int) -> None:
        super().__init__(f"protocol level {level}, expected 4 (MQTT 3.1.1) or 5")
        self.level = level


@dataclass(frozen=True, slots=True)
class Will:
    """What the server publishes when the connection ends without a farewell."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """A client's first packet."""

    version: Version
    client_id: str
    clean_start: bool = True
    keepalive_s: int = 0
    will: Will | None = None
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    properties: Properties = field(default_factory=dict)

    def encode(self) -> bytes:
        """The packet's bytes."""
        five = self.version is Version.V5
        body = text("MQTT") + bytes((self.version, self._flags())) + self.keepalive_s.to_bytes(2)
        body += (write_properties(self.properties) if five else b"") + text(self.client_id)
        if self.will is not None:
            body += (b"\0" if five else b"") + text(self.will.topic) + binary(self.will.payload)
        body += b"" if self.username is None else text(self.username)
        body += b"" if self.password is None else binary(self.password)
        return packet(Kind.CONNECT, body)

    def _flags(self) -> int:
        flags = _CLEAN * self.clean_start
        if self.will is not None:
            flags |= _WILL | self.will.qos << 3 | _WILL_RETAIN * self.will.retain
        return flags | _USERNAME * (self.username is not None) | _PASSWORD * (self.password is not None)

    @classmethod
    def decode(cls, body: bytes) -> Connect:
        """Read a CONNECT. Raises UnsupportedVersionError, MalformedPacketError."""
        cursor = Cursor(body)
        version = _version(cursor)
        flags, keepalive_s = cursor.integer(1), cursor.integer(2)
        _check_flags(flags, version)
        properties = read_properties(cursor) if version is Version.V5 else {}
        client_id = cursor.text()
        will = _will(cursor, version, flags) if flags & _WILL else None
        username = cursor.text() if flags & _USERNAME else None
        password = cursor.binary() if flags & _PASSWORD else None
        cursor.finish(Kind.CONNECT)
        return cls(
            version=version,
            client_id=client_id,
            clean_start=bool(flags & _CLEAN),
            keepalive_s=keepalive_s,
            will=will,
            username=username,
            password=password,
            properties=properties,
        )


def _version(cursor: Cursor) -> Version:
    name, level = cursor.text(), cursor.integer(1)
    if name == "MQTT" and level in (Version.V311, Version.V5):
        return Version(level)
    if name in ("MQTT", "MQIsdp"):
        raise UnsupportedVersionError(level)
    raise MalformedPacketError("the first packet names a protocol other than MQTT")


def _check_flags(flags: int, version: Version) -> None:
    qos = flags >> 3 & 3
    if flags & 1 or qos > _HIGHEST_QOS or (not flags & _WILL and flags & (_WILL_RETAIN | 0x18)):
        raise MalformedPacketError(f"CONNECT has impossible flags {flags:#04x}")
    if version is Version.V311 and flags & _PASSWORD and not flags & _USERNAME:
        raise MalformedPacketError("CONNECT has a password but no user name")


def _will(cursor: Cursor, version: Version, flags: int) -> Will:
    if version is Version.V5:
        read_properties(cursor)
    return Will(cursor.text(), cursor.binary(), flags >> 3 & 3, bool(flags & _WILL_RETAIN))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connack:
    """The server's answer: 0, or the reason why not (other numbers in 3.1.1 than in 5)."""

    session_present: bool = False
    reason: int = 0
    properties: Properties = field(default_factory=dict)

    def encode(self, version: Version) -> bytes:
        """The packet's bytes."""
        tail = write_properties(self.properties) if version is Version.V5 else b""
        return packet(Kind.CONNACK, bytes((self.session_present, self.reason)) + tail)

    @classmethod
    def decode(cls, body: bytes) -> Connack:
        """Read a CONNACK; a 3.1.1 server's refusal of an MQTT 5 client has no properties and is read as well."""
        cursor = Cursor(body)
        flags, reason = cursor.integer(1), cursor.integer(1)
        if flags > 1:
            raise MalformedPacketError(f"CONNACK has impossible flags {flags:#04x}")
        properties = read_properties(cursor) if cursor.left() else {}
        cursor.finish(Kind.CONNACK)
        return cls(session_present=bool(flags), reason=reason, properties=properties)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The farewell; only MQTT 5 gives a reason, and only there a server sends it."""

    reason: int = 0

    def encode(self, version: Version) -> bytes:
        """The packet's bytes."""
        return packet(Kind.DISCONNECT, bytes((self.reason,)) if version is Version.V5 and self.reason else b"")

    @classmethod
    def decode(cls, body: bytes, version: Version) -> Disconnect:
        """Read a DISCONNECT. Raises MalformedPacketError."""
        cursor = Cursor(body)
        if not body:
            return cls()
        if version is not Version.V5:
            cursor.finish(Kind.DISCONNECT)
        reason = cursor.integer(1)
        if cursor.left():
            read_properties(cursor)
        cursor.finish(Kind.DISCONNECT)
        return cls(reason)
