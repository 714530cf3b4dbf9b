"""Topics as strings, decoded and checked once: the same few thousand come again and again."""

from __future__ import annotations

from edge_aggregator.receive.mqtt.wire import MalformedPacketError, decode_text

_ENTRY_BYTES = 200  # two objects and a slot of the dictionary, beside the characters themselves


class TopicCache:
    """Topic names by their bytes on the wire; forgets everything when it has grown to `most_bytes`."""

    __slots__ = ("_bytes", "_most_bytes", "known")

    def __init__(self, most_bytes: int = 16 * 1024 * 1024) -> None:
        self.known: dict[bytes, str] = {}
        self._bytes, self._most_bytes = 0, most_bytes

    def learn(self, raw: bytes) -> str:
        """Decode a topic name that is not known yet. Raises MalformedPacketError where it is none."""
        if not raw:
            raise MalformedPacketError("PUBLISH without a topic (topic aliases were not offered)")
        if b"+" in raw or b"#" in raw:
            raise MalformedPacketError("PUBLISH to a topic with a wildcard")
        topic = decode_text(raw)
        if self._bytes > self._most_bytes:
            self.known.clear()
            self._bytes = 0
        self._bytes += 2 * len(raw) + _ENTRY_BYTES
        self.known[raw] = topic
        return topic
