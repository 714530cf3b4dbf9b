"""What a feeder is asked to do and what it reports: JSON on its standard input and output."""

from __future__ import annotations

from typing import Literal

import msgspec


class FeedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One feed.

    As "broker" the feeder is what the measured process connects to; as "publisher" it publishes at a broker at
    `host:port`. `rate` is messages per second, 0 for as many as are taken; `in_flight` what may be unacknowledged.
    Before it says that it is ready, it lets every device say `introductions` messages, as a broker; `only_311`: a
    broker that does not speak MQTT 5.
    """

    role: Literal["broker", "publisher"]
    site: str
    devices: int
    frames: int
    rate: float
    seconds: float
    in_flight: int = 65_535
    introductions: int = 0
    only_311: bool = False
    seed: int = 1
    patience_s: float = 15.0
    host: str = "127.0.0.1"
    port: int = 0
    username: str = ""
    password: str = ""


class FeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `acked_in_time`: acknowledged when the last message had been sent; times in ms and seconds.

    `introduced` messages were sent and acknowledged beforehand, and are in none of the other numbers.
    """

    sent: int
    introduced: int
    acked: int
    acked_in_time: int
    seconds: float
    drained_s: float
    ack_p50_ms: float
    ack_p99_ms: float
    ack_worst_ms: float
    cpu_s: float

    @property
    def sent_per_s(self) -> float:
        """Messages a second."""
        return self.sent / self.seconds
