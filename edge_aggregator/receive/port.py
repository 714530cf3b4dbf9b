"""The port between the ways in (MQTT, HTTP, scrape) and the edge's intake, and the way down to a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Message(msgspec.Struct, frozen=True, gc=False):
    """One application message; `retain` is True only for one that the broker had kept: it never renews a lease."""

    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one read brought.

    `committed` is called once, on the event loop, after the journal's commit and in order of arrival: it sends the
    acknowledgements. An arrival that is never committed is sent again by its sender.
    """

    receiver: str
    messages: list[Message]
    size: int  # bytes held in memory by this arrival
    committed: Callable[[], None]
    oversized: tuple[str, ...] = ()  # topics of messages that were too large and were skipped: rejected samples
    window_full: bool = False  # the sender waits for acknowledgements: commit now, not at the interval's end


class Intake(Protocol):
    """The edge's end of the port; everything is called on the event loop."""

    def offer(self, arrival: Arrival) -> None:
        """Take an arrival; never blocks. The caller stops reading when `has_room` says no."""
        ...

    def has_room(self) -> bool:
        """Whether more may be read."""
        ...

    async def wait_for_room(self) -> None:
        """Return as soon as there is room again."""
        ...


class Receiver(Protocol):
    """A way in: runs until cancelled, reconnects by itself, and says why it is not connected."""

    name: str

    async def run(self, intake: Intake) -> None:
        """Offer what arrives; whatever a peer does ends a connection, never this call."""
        ...

    def connected_since(self) -> float | None:
        """`Clock.monotonic()` seconds since when devices can be heard; None while cut off (leases stand still)."""
        ...

    def state(self) -> str:
        """For `/readyz`: "connected", or the reason why not."""
        ...


class Downlink(Protocol):
    """The way to a device: MQTT, QoS 1; a command is never retained."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Send; True once the next hop has acknowledged, False when it is away, refuses or stays silent too long.

        `retain` is for what panels on the site look at: whoever subscribes later is told as well.
        """
        ...

    def send(self, topic: str, payload: bytes, answered: Callable[[bool], None]) -> None:
        """The same for a command, without waiting: `answered` is called later, with what `publish` returns.

        Many may be under way.
        """
        ...
