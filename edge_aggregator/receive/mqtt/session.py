"""The subscriber's end of a connection as a pure state machine: bytes and time in, messages and bytes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.connect import REFUSED, Connack, Connect, Disconnect
from edge_aggregator.receive.mqtt.ending import Cause, Ending
from edge_aggregator.receive.mqtt.properties import Property, number
from edge_aggregator.receive.mqtt.publish import PINGREQ
from edge_aggregator.receive.mqtt.scan import Read, Scanner
from edge_aggregator.receive.mqtt.subscribe import Suback, Subscribe
from edge_aggregator.receive.mqtt.wire import Kind, MalformedPacketError, Version, kind_of

if TYPE_CHECKING:
    from edge_aggregator.receive.mqtt.topic_cache import TopicCache

RECEIVE_MAXIMUM = 65_535
_SUBSCRIBE_ID = 1
_REFUSED_VERSION = {Version.V311: frozenset({1}), Version.V5: frozenset({1, 0x84})}
_REASONS = {
    2: "the client identifier is not allowed",
    3: "the server is unavailable",
    4: "bad user name or password",
    5: "not authorised",
    0x84: "unsupported protocol version",
    0x85: "the client identifier is not allowed",
    0x86: "bad user name or password",
    0x87: "not authorised",
    0x88: "the server is unavailable",
    0x89: "the server is busy",
    0x8B: "the server is shutting down",
    0x8E: "another client took over the session",
    0x9F: "connection rate exceeded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a subscriber tells the broker; times in seconds."""

    client_id: str
    topics: tuple[str, ...]
    keepalive_s: int
    max_packet_bytes: int
    session_expiry_s: int
    answer_timeout_s: float
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)


class Phase(Enum):
    """How far a connection has come."""

    CONNECTING = "waiting for the broker's CONNACK"
    SUBSCRIBING = "waiting for the broker's SUBACK"
    READY = "connected"


class SubscriberSession:
    """One connection to a broker, from CONNECT to its ending. `outgoing` is what is to be written next."""

    def __init__(self, wanted: Subscription, version: Version, topics: TopicCache, now: float) -> None:
        self._wanted, self.version = wanted, version
        self._scanner = Scanner(version, topics, max_packet_bytes=wanted.max_packet_bytes)
        self._keepalive_s: float = wanted.keepalive_s
        self._heard = self._said = now
        self.phase = Phase.CONNECTING
        self.ending: Ending | None = None
        self.session_present = False
        self.granted_qos0 = False
        self.outgoing = bytearray(self._connect().encode())

    def _connect(self) -> Connect:
        wanted, five = self._wanted, self.version is Version.V5
        expiry, window = Property.SESSION_EXPIRY_INTERVAL, Property.RECEIVE_MAXIMUM
        return Connect(
            version=self.version,
            client_id=wanted.client_id,
            clean_start=False,
            keepalive_s=wanted.keepalive_s,
            username=wanted.username,
            password=wanted.password,
            # No maximum packet size: a broker would drop what is larger in silence, here it is counted.
            properties={expiry: wanted.session_expiry_s, window: RECEIVE_MAXIMUM} if five else {},
        )

    def received(self, chunk: bytes, now: float) -> Read:
        """Take bytes; the messages before an error are good. Sets `ending` when the connection cannot go on."""
        self._heard = now
        read = self._scanner.feed(chunk)
        try:
            for head, body in read.control:
                self._control(kind_of(head), body)
        except MalformedPacketError as error:
            read.error = read.error or error
        if self.phase is Phase.CONNECTING and read.messages:
            read = Read()
            read.error = MalformedPacketError("PUBLISH before CONNACK")
        if read.error:
            self._end(Cause.MALFORMED, f"malformed packet: {read.error}")
        return read

    def tick(self, now: float) -> None:
        """Time has passed: ping when nothing was said for the keepalive, end when the broker stays silent."""
        if self.phase is not Phase.READY:
            if now - self._heard > self._wanted.answer_timeout_s:
                self._end(Cause.SILENT, f"no answer for {self._wanted.answer_timeout_s:g} s: {self.phase.value}")
        elif now - self._heard > 1.5 * self._keepalive_s:
            self._end(Cause.SILENT, f"the broker was silent for {now - self._heard:.0f} s")
        elif now - self._said >= self._keepalive_s / 2:
            self.outgoing += PINGREQ
            self._said = now

    def not_listening(self, now: float) -> None:
        """The shell has paused its reads: the broker's silence is not its fault."""
        self._heard = now

    def closed(self) -> None:
        """The transport is gone."""
        self._end(Cause.CLOSED, f"the connection was closed ({self.phase.value})")

    def farewell(self) -> bytes:
        """The DISCONNECT that keeps the session at the broker."""
        return Disconnect().encode(self.version)

    def _end(self, cause: Cause, detail: str) -> None:
        if self.ending is None:
            self.ending = Ending(cause, detail)

    def _control(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.CONNACK and self.phase is Phase.CONNECTING:
            self._connected(Connack.decode(body))
        elif kind is Kind.SUBACK and self.phase is Phase.SUBSCRIBING:
            self._subscribed(Suback.decode(body, self.version))
        elif kind is Kind.DISCONNECT and self.version is Version.V5:
            reason = Disconnect.decode(body, self.version).reason
            self._end(Cause.FAREWELL, f"the broker ended the connection: {_reason(reason)}")
        elif kind is not Kind.PINGRESP or body:
            raise MalformedPacketError(f"unexpected {kind.name}")

    def _connected(self, answer: Connack) -> None:
        if answer.reason:
            refused = answer.reason in _REFUSED_VERSION[self.version]
            cause = Cause.UNSUPPORTED_VERSION if refused else Cause.REFUSED
            self._end(cause, f"the broker refused the connection: {_reason(answer.reason)}")
            return
        self._keepalive_s = number(answer.properties, Property.SERVER_KEEP_ALIVE, self._wanted.keepalive_s) or 65_535
        self._accepted(answer)

    def _accepted(self, answer: Connack) -> None:
        self.session_present = answer.session_present
        # Subscribed anew even where the session is known: the filters may have changed, and retained states come again.
        wanted = tuple((topic, 1) for topic in self._wanted.topics)
        self.outgoing += Subscribe(_SUBSCRIBE_ID, wanted).encode(self.version)
        self.phase = Phase.SUBSCRIBING

    def _subscribed(self, answer: Suback) -> None:
        if answer.packet_id != _SUBSCRIBE_ID or len(answer.reasons) != len(self._wanted.topics):
            raise MalformedPacketError("SUBACK answers another SUBSCRIBE")
        for topic, reason in zip(self._wanted.topics, answer.reasons, strict=True):
            if reason >= REFUSED:
                self._end(Cause.NOT_SUBSCRIBED, f"the broker refused the subscription to {topic}: {_reason(reason)}")
                return
        self.granted_qos0 = 0 in answer.reasons
        self.phase = Phase.READY


def _reason(code: int) -> str:
    return _REASONS.get(code, f"reason code {code:#04x}")
