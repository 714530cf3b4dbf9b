"""The listener's end of one device's connection as a pure state machine: bytes and time in, messages and bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.connect import (
    DISCONNECT_WITH_WILL,
    REFUSED,
    Connack,
    Connect,
    Disconnect,
    UnsupportedVersionError,
)
from edge_aggregator.receive.mqtt.ending import Cause, Ending
from edge_aggregator.receive.mqtt.properties import Properties, Property, number
from edge_aggregator.receive.mqtt.publish import PINGRESP, Puback, Publish
from edge_aggregator.receive.mqtt.scan import Read, Scanner
from edge_aggregator.receive.mqtt.subscribe import Suback, Subscribe, Unsuback, Unsubscribe
from edge_aggregator.receive.mqtt.wire import Kind, MalformedPacketError, Version, frame_at, kind_of
from edge_aggregator.receive.port import Message

if TYPE_CHECKING:
    from edge_aggregator.receive.mqtt.admission import Door
    from edge_aggregator.receive.mqtt.topic_cache import TopicCache

MOST_COMMANDS = 16  # commands in flight to one device
_LONGEST_CONNECT = 64 * 1024  # of someone who is not known yet
_NOT_AUTHORISED = 0x87
_HIGHEST_ID = 65_535
_PROTOCOL_ERRORS = {
    Cause.MALFORMED: 0x81,
    Cause.FOREIGN_TOPIC: _NOT_AUTHORISED,
    Cause.TAKEN_OVER: 0x8E,
    Cause.SILENT: 0x8D,
}
_OFFERED: Properties = {
    Property.SESSION_EXPIRY_INTERVAL: 0,
    Property.MAXIMUM_QOS: 1,
    Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
    Property.SHARED_SUBSCRIPTION_AVAILABLE: 0,
}


class DeviceSession:
    """One device, from its CONNECT to its ending.

    `outgoing` is what is to be written next; `device` is None until a CONNECT was taken.
    """

    def __init__(
        self, door: Door, topics: TopicCache, *, max_packet_bytes: int, connect_timeout_s: float, now: float
    ) -> None:
        self._door, self._topics = door, topics
        self._max_packet_bytes, self._connect_timeout_s = max_packet_bytes, connect_timeout_s
        self._greeting = bytearray()
        self._scanner: Scanner | None = None
        self._version = Version.V311
        self._heard = now
        self._silence_s = float("inf")
        self._realm = ""
        self._packet_limit, self._window = float("inf"), MOST_COMMANDS
        self._last_id = 0
        self._in_flight: set[int] = set()
        self._command_qos: int | None = None
        self.alarms: set[str] = set()  # filters over alarms that it subscribed to
        self.asked: list[str] = []  # those of them of which it has not been told yet what stands
        self.device: str | None = None
        self.will: Message | None = None
        self.ending: Ending | None = None
        self.outgoing = bytearray()
        self.answered: list[tuple[int, bool]] = []  # commands by identifier: True where the device took it

    def received(self, chunk: bytes, now: float) -> Read:
        """Take bytes; the messages before an error are good. Sets `ending` when the connection cannot go on."""
        if self.device is not None:  # before that, dribbling bytes shall not put the deadline off
            self._heard = now
        if not chunk:
            return Read()
        try:
            if self._scanner is None:
                chunk = self._greeted(chunk)
            if self._scanner is None:
                return Read()
            read = self._scanner.feed(chunk)
        except UnsupportedVersionError as error:
            self.outgoing += Connack(reason=1).encode(Version.V311)
            self.end(Cause.UNSUPPORTED_VERSION, str(error))
            return Read()
        except MalformedPacketError as error:
            self.end(Cause.MALFORMED, str(error))
            return Read()
        self._keep_to_realm(read)
        self._take_control(read)
        return read

    def _take_control(self, read: Read) -> None:
        try:
            for head, body in read.control:
                if self.ending:
                    return
                self._control(kind_of(head), body)
        except MalformedPacketError as error:
            read.error = read.error or error
        if read.error:
            self.end(Cause.MALFORMED, str(read.error))

    def _greeted(self, chunk: bytes) -> bytes:
        """Read CONNECT; returns what came after it."""
        self._greeting += chunk
        if not self._greeting.startswith(b"\x10"):
            raise MalformedPacketError("the first packet is not CONNECT")
        frame = frame_at(self._greeting, 0)
        if frame and frame.end > _LONGEST_CONNECT:
            raise MalformedPacketError(f"CONNECT has {frame.end} bytes, the limit is {_LONGEST_CONNECT}")
        if frame is None or frame.end > len(self._greeting):
            return b""
        connect = Connect.decode(bytes(self._greeting[frame.start : frame.end]))
        rest, self._greeting = bytes(self._greeting[frame.end :]), bytearray()
        self._admit(connect)
        return rest

    def _admit(self, connect: Connect) -> None:
        self._version = connect.version
        if refusal := self._door.refusal(connect):
            self.outgoing += Connack(reason=refusal.code(connect.version)).encode(connect.version)
            self.end(refusal.cause, refusal.detail)
            return
        self.device, self._realm = connect.client_id, self._door.realm(connect.client_id)
        if connect.will:
            self.will = Message(connect.will.topic, connect.will.payload, retain=False)
        self._silence_s = 1.5 * connect.keepalive_s or float("inf")
        self._packet_limit = number(connect.properties, Property.MAXIMUM_PACKET_SIZE, 0) or float("inf")
        self._window = min(MOST_COMMANDS, number(connect.properties, Property.RECEIVE_MAXIMUM, MOST_COMMANDS))
        # What a device publishes is live, whether or not it wants it retained: only a broker's copy is not.
        self._scanner = Scanner(
            connect.version, self._topics, max_packet_bytes=self._max_packet_bytes, heed_retain=False
        )
        self.outgoing += Connack(properties=_OFFERED).encode(connect.version)

    def _keep_to_realm(self, read: Read) -> None:
        if not self._realm:
            return
        own = [message.topic.startswith(self._realm) for message in read.messages]
        foreign = [topic for topic in read.oversized if not topic.startswith(self._realm)]
        if all(own) and not foreign:
            return
        # What came before is good, yet nothing of this read is acknowledged: the device may send it again.
        if not all(own):
            del read.messages[own.index(False) :]
        read.oversized = [topic for topic in read.oversized if topic not in foreign]
        read.acks.clear()
        self.end(Cause.FOREIGN_TOPIC, f"{self.device} published outside its own topics")

    def _control(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.PUBACK:
            self._command_answered(Puback.decode(body, self._version))
        elif kind is Kind.PINGREQ and not body:
            self.outgoing += PINGRESP
        elif kind is Kind.SUBSCRIBE:
            self._subscribed(Subscribe.decode(body, self._version))
        elif kind is Kind.UNSUBSCRIBE:
            self._unsubscribed(Unsubscribe.decode(body, self._version))
        elif kind is Kind.DISCONNECT:
            if Disconnect.decode(body, self._version).reason != DISCONNECT_WITH_WILL:
                self.will = None
            self.end(Cause.FAREWELL, "the device said farewell")
        else:
            raise MalformedPacketError(f"unexpected {kind.name}")

    def _subscribed(self, wanted: Subscribe) -> None:
        own = self._door.command_topic(self.device or "")
        refused = _NOT_AUTHORISED if self._version is Version.V5 else REFUSED
        reasons = bytearray()
        for topic, qos in wanted.filters:
            if topic == own:
                self._command_qos = min(qos, 1)
                reasons.append(self._command_qos)
            elif self._door.reads_alarms(self.device or "", topic):
                self.alarms.add(topic)
                self.asked.append(topic)
                reasons.append(0)
            else:
                reasons.append(refused)
        self.outgoing += Suback(wanted.packet_id, bytes(reasons)).encode(self._version)

    def _unsubscribed(self, unwanted: Unsubscribe) -> None:
        if self._door.command_topic(self.device or "") in unwanted.filters:
            self._command_qos = None
        self.alarms -= set(unwanted.filters)
        self.outgoing += Unsuback(unwanted.packet_id, bytes(len(unwanted.filters))).encode(self._version)

    def _command_answered(self, answer: Puback) -> None:
        if answer.packet_id in self._in_flight:
            self._in_flight.remove(answer.packet_id)
            self.answered.append((answer.packet_id, answer.reason < REFUSED))

    def command(self, topic: str, payload: bytes) -> int | None:
        """Send a command; returns its identifier, None where no acknowledgement can be expected."""
        if self._command_qos is None or self.ending or len(self._in_flight) >= self._window:
            return None
        packet_id = self._next_id() if self._command_qos else 0
        publish = Publish(topic=topic, payload=payload, qos=self._command_qos, packet_id=packet_id)
        encoded = publish.encode(self._version)
        if len(encoded) > self._packet_limit:
            return None
        self.outgoing += encoded
        if packet_id == 0:
            return None
        self._in_flight.add(packet_id)
        return packet_id

    def alarm(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Tell what stands at an alarm's topic, at QoS 0; `retain` where it stood before the subscription."""
        encoded = Publish(topic=topic, payload=payload, retain=retain).encode(self._version)
        if not self.ending and len(encoded) <= self._packet_limit:
            self.outgoing += encoded

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _HIGHEST_ID + 1
            if self._last_id not in self._in_flight:
                return self._last_id

    def tick(self, now: float) -> None:
        """Time has passed: end the connection when CONNECT, or anything for 1.5 times the keepalive, did not come."""
        limit = self._connect_timeout_s if self.device is None else self._silence_s
        if now - self._heard > limit:
            self.end(Cause.SILENT, f"{self.device or 'a client'} was silent for {now - self._heard:.0f} s")

    def not_listening(self, now: float) -> None:
        """The shell has paused its reads: the device's silence is not its fault."""
        self._heard = now

    def end(self, cause: Cause, detail: str) -> None:
        """The connection is over; a device that speaks MQTT 5 is told why."""
        if self.ending:
            return
        self.ending = Ending(cause, detail)
        if self.device is not None and self._version is Version.V5 and cause in _PROTOCOL_ERRORS:
            self.outgoing += Disconnect(_PROTOCOL_ERRORS[cause]).encode(self._version)
