"""Dead letters of one commit, bounded: what exceeds the bounds is counted and not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.decode.decoded import DeadLetter

if TYPE_CHECKING:
    from edge_aggregator.receive.port import Message

MOST_LETTERS = 64
MOST_BYTES = 256 * 1024
MOST_PAYLOAD_BYTES = 64 * 1024


class DeadLetters:
    """The first few payloads that were refused, each cut at `MOST_PAYLOAD_BYTES`."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []
        self._bytes = 0

    def add(self, message: Message, reason: str, detail: str, at: int) -> None:
        """Keep a message if there is room."""
        payload = bytes(message.payload[:MOST_PAYLOAD_BYTES])
        if len(self.kept) < MOST_LETTERS and self._bytes + len(payload) <= MOST_BYTES:
            self.kept.append(DeadLetter(message.topic, payload, reason, detail[:200], at))
            self._bytes += len(payload)
