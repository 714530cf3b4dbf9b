"""What reading messages collects, as plain lists: they become columns once, when all messages are read."""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import TYPE_CHECKING, Any

from edge_aggregator.decode.dead_letters import DeadLetters

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from edge_aggregator.decode.decoded import AckMessage, StateMessage
    from edge_aggregator.receive.port import Message
    from ingest.contract.reasons import SampleRejection

NUMBERS = (int, float)
_FLOAT, _FLOAT_BYTES = Struct("d").pack, 8


class Collected:
    """Samples by parts: `series` (int64 ids), `times`, `arrivals`, `origins`, `sizes` (bytes) one entry a part.

    A part is what shares one timestamp: a message, or one object of an array. `numbers` are the values of all samples,
    float64 in native order; `no_numbers` which of them are none.
    """

    def __init__(self) -> None:
        self.series: list[NDArray[np.int64]] = []
        self.numbers = bytearray()
        self.no_numbers: list[int] = []
        self.times: list[int] = []
        self.arrivals: list[int] = []
        self.origins: list[Message] = []
        self.sizes: list[int] = []
        self.repeated: list[int] = []
        """Parts of a message whose bytes an earlier part stands for."""
        self.kept: list[int] = []
        """Parts of a message that the broker had kept: no sign of life."""
        self.heard: set[int] = set()
        """Devices heard beside those of all other parts."""
        self.ahead: dict[int, int] = {}
        self.rejected: Counter[str] = Counter()
        self.rejected_of: Counter[int] = Counter()
        """By device, where it is known."""
        self.events_rejected: Counter[str] = Counter()
        self.events: list[StateMessage | AckMessage] = []
        self.dead = DeadLetters()
        self.newest = 0

    def part(self, message: Message, at: int, ts: int, series: NDArray[np.int64], values: Iterable[Any]) -> None:
        """Take samples that share a timestamp."""
        self.series.append(series)
        for value in values:
            # A conversion would make numbers of "12.5" and true without a word, so the types are looked at first.
            if type(value) in NUMBERS:
                self.numbers += _FLOAT(value)
            else:
                self.no_numbers.append(len(self.numbers) // _FLOAT_BYTES)
                self.numbers += _FLOAT(0.0)
        self.times.append(ts)
        self.arrivals.append(at)
        self.origins.append(message)
        self.sizes.append(len(message.payload))

    def reject(
        self,
        message: Message,
        at: int,
        reason: SampleRejection,
        detail: str,
        samples: int = 1,
        *,
        device: int | None = None,
    ) -> None:
        """Count samples that are not taken, `device`'s if it is known, and keep the message as a dead letter."""
        if samples:
            self.rejected[reason.value] += samples
            if device is not None:
                self.rejected_of[device] += samples
            self.dead.add(message, reason.value, detail, at)
