"""The hot path: the bytes of one read become messages and the PUBACKs that are owed for them.

`Scanner.feed` takes any cut of the stream. Packets are found by index arithmetic over one buffer; a PUBLISH becomes one
tuple and four bytes of PUBACK, everything else is handed on untouched. A PUBLISH larger than the limit is passed over
without being held, reported by its topic and acknowledged, for it would be sent again for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.receive.mqtt.wire import Kind, MalformedPacketError, Version, frame_at
from edge_aggregator.receive.port import Message

if TYPE_CHECKING:
    from edge_aggregator.receive.mqtt.topic_cache import TopicCache

_PUBACK = b"@\x02"
_NO_PACKET_ID = b"\0\0"
_COMMON, _COMMON_HEADER = 0x32, 5  # PUBLISH of QoS 1, not sent before; two bytes of length, two of the topic's length
_IN_TURN = 64
_MESSAGE_BYTES = 160  # what a message holds in memory beside its bytes: a tuple, a bytes object, a place in a list


class Read:
    """What one feed brought, in order: messages, PUBACK bytes, topics of oversized messages, other packets, an error.

    What precedes a malformed packet is good and is there; `error` then says that nothing more can be read.
    """

    __slots__ = ("acks", "control", "error", "messages", "oversized", "size")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.acks = bytearray()
        self.oversized: list[str] = []
        self.control: list[tuple[int, bytes]] = []  # first byte and body
        self.error: MalformedPacketError | None = None
        self.size = 0  # bytes that the messages hold in memory

    def owed(self) -> int:
        """How many PUBACKs are owed."""
        return len(self.acks) // 4


def _passing(buffer: bytes, at: int, packets: int) -> int:
    for _ in range(packets):
        frame = frame_at(buffer, at)
        assert frame is not None
        at = frame.end
    return at


class Scanner:
    """Cuts one connection's bytes into packets. Holds at most one packet of `max_packet_bytes`, and one chunk."""

    __slots__ = ("_five", "_limit", "_need", "_rest", "_retain_bit", "_skip_left", "_skipped", "_topics")

    def __init__(
        self, version: Version, topics: TopicCache, *, max_packet_bytes: int, heed_retain: bool = True
    ) -> None:
        self._five, self._topics, self._limit = version is Version.V5, topics, max_packet_bytes
        self._retain_bit = 1 if heed_retain else 0
        self._rest, self._need = bytearray(), 0
        self._skip_left, self._skipped = 0, ("", b"")

    def feed(self, chunk: bytes) -> Read:
        """Take the next bytes of the stream, however cut."""
        read = Read()
        buffer, at = self._joined(chunk), 0
        try:
            while True:
                at = self._pass_over(buffer, at, read)
                at = self._packets(buffer, at, read)
                if not self._meets_oversized(buffer, at):
                    break
            self._keep(buffer, at)
        except MalformedPacketError as error:
            read.error = error
        read.size += _MESSAGE_BYTES * len(read.messages)
        return read

    def _joined(self, chunk: bytes) -> bytes:
        # An incomplete packet is only added to until it is whole: one byte at a time must not cost a copy each.
        if not self._rest:
            return chunk
        self._rest += chunk
        if len(self._rest) < self._need:
            return b""
        buffer, self._rest = bytes(self._rest), bytearray()
        return buffer

    def _keep(self, buffer: bytes, at: int) -> None:
        if at == len(buffer):
            return
        frame = frame_at(buffer, at)
        self._need = len(buffer) - at + 1
        if frame and frame.end - frame.start <= self._limit:
            self._need = frame.end - at
        self._rest = bytearray(buffer[at:])

    def _packets(self, buffer: bytes, at: int, read: Read) -> int:
        """Take all whole packets from `at` on; returns where the next, incomplete or oversized one begins."""
        while True:
            begun = at
            at = self._any(buffer, self._common(buffer, at, read), read)
            if at == begun:
                return at

    def _common(self, buffer: bytes, at: int, read: Read) -> int:
        """Take packets as long as they are what most are; returns where the first other one begins.

        That is a PUBLISH of QoS 1, of 128 to 16,383 bytes, to a topic that is known, without properties. There are no
        calls in the loop: each would cost as much as all of its arithmetic.
        """
        begin, least, five = at, len(buffer) - _COMMON_HEADER, 1 if self._five else 0
        most, known, owed = min(len(buffer), self._limit), self._topics.known, list[bytes]()
        size, add, owe, first = len(buffer), read.messages.append, owed.append, len(read.messages)
        while at <= least and buffer[at] == _COMMON:
            low, high = buffer[at + 1], buffer[at + 2]
            if low < 128 or high > 127:  # noqa: PLR2004 - the continuation bit
                break
            end = at - 125 + low + (high << 7)
            topic_end = at + 5 + (buffer[at + 3] << 8) + buffer[at + 4]
            body = topic_end + 2 + five
            if end > size or end - at > most or body > end or (five and buffer[body - 1]):
                break
            topic = known.get(buffer[at + 5 : topic_end])
            if topic is None:
                break
            owe(buffer[topic_end : topic_end + 2])
            add(Message(topic, buffer[body:end], False))
            at = end
        if _NO_PACKET_ID in owed:  # the other loop says what is wrong with it
            good = owed.index(_NO_PACKET_ID)
            at = _passing(buffer, begin, good)
            del owed[good:], read.messages[first + good :]
        read.size += at - begin
        if owed:
            read.acks += _PUBACK + _PUBACK.join(owed)
        return at

    def _any(self, buffer: bytes, at: int, read: Read) -> int:  # noqa: C901, PLR0912, PLR0915 - one loop without calls
        """Take packets of every kind, some dozens of them; returns where the next one begins."""
        size, limit, five, retain_bit, begin = len(buffer), self._limit, self._five, self._retain_bit, at
        known, owed = self._topics.known, list[bytes]()
        add, owe, left = read.messages.append, owed.append, _IN_TURN
        try:
            while at + 1 < size and left:
                left -= 1
                head, length, start = buffer[at], buffer[at + 1], at + 2
                if length > 127:  # noqa: PLR2004 - the continuation bit; two bytes of length are inlined, more are rare
                    if start >= size:
                        break
                    length += (buffer[start] << 7) - 128
                    start += 1
                    if buffer[start - 1] > 127:  # noqa: PLR2004
                        frame = frame_at(buffer, at)
                        if frame is None:
                            break
                        start, length = frame.start, frame.end - frame.start
                end = start + length
                if end > size or length > limit:
                    break
                if head & 0xF0 != 0x30:  # noqa: PLR2004 - PUBLISH is packet type 3
                    read.control.append((head, buffer[start:end]))
                    at = end
                    continue
                topic_end = body = start + 2 + (buffer[start] << 8) + buffer[start + 1]
                if qos := head & 6:
                    body += 2
                if five:
                    skip = buffer[body]
                    body += 1
                    if skip:
                        body += skip if skip < 128 else self._long_properties(buffer, body - 1)  # noqa: PLR2004
                # Positions only grow, so this one check catches whatever went beyond the packet.
                if body > end:
                    raise MalformedPacketError("a field of PUBLISH goes beyond its packet")
                key = buffer[start + 2 : topic_end]
                topic = known.get(key)
                if topic is None:
                    topic = self._topics.learn(key)
                if qos:
                    packet_id = buffer[topic_end : topic_end + 2]
                    if qos != 2 or packet_id == _NO_PACKET_ID:  # noqa: PLR2004 - the bits of QoS 1
                        raise MalformedPacketError("PUBLISH with QoS 2, which was not offered, or without identifier")
                    owe(packet_id)
                add(Message(topic, buffer[body:end], head & retain_bit == 1))
                at = end
        except IndexError:
            raise MalformedPacketError("a field of PUBLISH goes beyond its packet") from None
        finally:
            read.size += at - begin
            if owed:
                read.acks += _PUBACK + _PUBACK.join(owed)
        return at

    @staticmethod
    def _long_properties(buffer: bytes, at: int) -> int:
        # A property length is written like a remaining length, so the byte before it may play the fixed header.
        frame = frame_at(buffer, at - 1)
        if frame is None:
            raise MalformedPacketError("the properties of PUBLISH go beyond their packet")
        return frame.end - at - 1

    def _meets_oversized(self, buffer: bytes, at: int) -> bool:
        frame = frame_at(buffer, at)
        if frame is None or frame.end - frame.start <= self._limit:
            return False
        head, length = buffer[at], frame.end - frame.start
        if head >> 4 != Kind.PUBLISH or head & 4:
            raise MalformedPacketError(f"a packet of {length} bytes, the limit is {self._limit}")
        topic_at = frame.start + 2
        if len(buffer) < topic_at:
            return False
        topic_end = topic_at + int.from_bytes(buffer[frame.start : topic_at])
        known_to = topic_end + 2 if head & 2 else topic_end
        if known_to > frame.end:
            raise MalformedPacketError("a field of PUBLISH goes beyond its packet")
        if len(buffer) < known_to:
            return False
        raw, packet_id = buffer[topic_at:topic_end], buffer[topic_end:known_to]
        if packet_id == _NO_PACKET_ID:
            raise MalformedPacketError("PUBLISH with QoS 1 without identifier")
        topic = self._topics.known.get(raw) or self._topics.learn(raw)
        self._skipped = (topic, _PUBACK + packet_id if packet_id else b"")
        self._skip_left = frame.end - at
        return True

    def _pass_over(self, buffer: bytes, at: int, read: Read) -> int:
        if not self._skip_left:
            return at
        passed = min(self._skip_left, len(buffer) - at)
        self._skip_left -= passed
        if not self._skip_left:
            topic, ack = self._skipped
            read.oversized.append(topic)
            read.acks += ack
        return at + passed
