"""A site's facts in event time: held until the site's watermark has passed them, then released in order."""

from __future__ import annotations

import bisect

import msgspec

from analytics.rollouts.facts import Fact

MOST_WAITING = 50_000
"""Facts that may wait for one site's watermark; what comes beyond that is dropped and counted."""

MOST_BEATS = 1000


class Heartbeat(msgspec.Struct, frozen=True):
    """A gateway's heartbeat: its time `at`, when the log took it (`logged`) and when it was read (`seen`), all in ms."""

    at: int
    logged: int
    seen: int


class Voice(msgspec.Struct):
    """One gateway: its heartbeats that are still too fresh, and the newest that counts."""

    fresh: list[Heartbeat] = []
    settled: Heartbeat = Heartbeat(0, 0, 0)
    heard: int = 0


class Timeline(msgspec.Struct):
    """One site. `watermark` (ms) only rises: every fact up to it has been released; `logged` is when the log took it.

    A heartbeat counts `settle_ms` after it was read: by then what the gateway had sent before it has been read too, from
    whichever partitions. A gateway that has not been heard for `patience_ms` holds nobody up any longer.
    """

    watermark: int = 0
    logged: int = 0
    voices: dict[str, Voice] = {}
    waiting: list[Fact] = []
    dropped: int = 0

    def hear(self, gateway: str, beat: Heartbeat) -> None:
        """Note a heartbeat."""
        voice = self.voices.setdefault(gateway, Voice())
        voice.heard = beat.seen
        voice.fresh = [*voice.fresh, beat][-MOST_BEATS:]

    def add(self, fact: Fact) -> bool:
        """Take a fact; False when the watermark has passed it: then it is late and not taken."""
        if fact.at <= self.watermark:
            return False
        place = bisect.bisect_left(self.waiting, fact)
        known = (other.identity() for other in self.waiting[max(0, place - 1) : place + 1])
        if len(self.waiting) >= MOST_WAITING:
            self.dropped += 1
        elif fact.identity() not in known:
            self.waiting.insert(place, fact)
        return True

    def advance(self, now: int, *, settle_ms: int, patience_ms: int) -> bool:
        """Let the watermark follow the heartbeats; whether it rose."""
        for voice in self.voices.values():
            due = [beat for beat in voice.fresh if beat.seen + settle_ms <= now]
            voice.fresh = voice.fresh[len(due) :]
            voice.settled = max([voice.settled, *due], key=lambda beat: beat.at)
        patient = [voice.settled for voice in self.voices.values() if now - voice.heard <= patience_ms]
        lowest = min(patient, key=lambda beat: beat.at, default=Heartbeat(0, 0, 0))
        rose = lowest.at > self.watermark
        if rose:
            self.watermark, self.logged = lowest.at, lowest.logged
        return rose

    def release(self) -> list[Fact]:
        """The facts that the watermark has passed, by time; they are not kept."""
        count = bisect.bisect_right(self.waiting, self.watermark, key=lambda fact: fact.at)
        due, self.waiting = self.waiting[:count], self.waiting[count:]
        return due
