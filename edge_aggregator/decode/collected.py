"""What reading messages collects, as plain lists: they become columns once, when all messages are read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from edge_aggregator.decode.dead_letters import DeadLetters

if TYPE_CHECKING:
    from edge_aggregator.decode.decoded import AckMessage, StateMessage
    from edge_aggregator.receive.port import Message
    from ingest.contract.reasons import SampleRejection


class Collected:
    """Samples by parts: `series` and `values` one entry a sample; `times`, `arrivals`, `sizes`, `origins` one a part.

    A part is what shares one timestamp: a message, or one object of an array.
    """

    def __init__(self) -> None:
        self.series: list[int] = []
        self.values: list[Any] = []
        self.times: list[int] = []
        self.arrivals: list[int] = []
        self.sizes: list[int] = []
        self.origins: list[Message] = []
        self.repeated: list[int] = []
        """Parts of a message whose bytes an earlier part stands for."""
        self.heard: set[int] = set()
        self.ahead: dict[int, int] = {}
        self.rejected: Counter[str] = Counter()
        self.events_rejected: Counter[str] = Counter()
        self.events: list[StateMessage | AckMessage] = []
        self.dead = DeadLetters()
        self.newest = 0

    def part(self, message: Message, at: int, ts: int, series: list[int], values: list[Any]) -> None:
        """Take samples that share a timestamp."""
        self.series.extend(series)
        self.values.extend(values)
        self.times.append(ts)
        self.arrivals.append(at)
        self.sizes.append(len(series))
        self.origins.append(message)

    def reject(self, message: Message, at: int, reason: SampleRejection, detail: str, samples: int = 1) -> None:
        """Count samples that are not taken, and keep the message as a dead letter."""
        if samples:
            self.rejected[reason.value] += samples
            self.dead.add(message, reason.value, detail, at)
