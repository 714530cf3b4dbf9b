"""What steps have found and the next flush will write: counts, dead letters, answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edge_aggregator.decode.decoded import AckMessage

if TYPE_CHECKING:
    from edge_aggregator.decode.decoded import DeadLetter, Notes


class Pending:
    """`overflowed` and `events_rejected` only ever become metrics."""

    def __init__(self) -> None:
        self.dead: list[DeadLetter] = []
        self.acks: list[AckMessage] = []
        self.skewed = 0
        self.events_rejected: Counter[str] = Counter()
        self.overflowed: Counter[str] = Counter()

    def note(self, notes: Notes) -> None:
        """Take over what one commit noted."""
        self.dead += notes.dead
        self.acks += [message for message in notes.messages if isinstance(message, AckMessage)]
        self.skewed += notes.skewed
        self.events_rejected.update(notes.events_rejected)
        self.overflowed.update(notes.overflowed)

    def add(self, following: Pending) -> None:
        """Take over what others have noted since."""
        self.dead += following.dead
        self.acks += following.acks
        self.skewed += following.skewed
        self.events_rejected.update(following.events_rejected)
        self.overflowed.update(following.overflowed)
