"""Every site's timeline, and how far event time has come there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.rollouts.timeline import Heartbeat, Timeline

if TYPE_CHECKING:
    from analytics.rollouts.facts import Fact
    from ingest.contract.events import GatewayEvent

_DECODER = msgspec.msgpack.Decoder(dict[str, Timeline])


class Places:
    """Timelines by place (`tenant/site`)."""

    def __init__(self, *, settle_ms: int, patience_ms: int) -> None:
        self._settle_ms, self._patience_ms = settle_ms, patience_ms
        self._timelines: dict[str, Timeline] = {}

    def hear(self, event: GatewayEvent, logged: int, now: int) -> None:
        """Note a heartbeat that the log took at `logged` and that is read `now` (ms)."""
        self._timeline(f"{event.tenant}/{event.site}").hear(event.gateway, Heartbeat(event.at, logged, now))

    def add(self, place: str, fact: Fact) -> bool:
        """Take a fact; False when it is late."""
        return self._timeline(place).add(fact)

    def advance(self, now: int) -> list[tuple[str, Timeline, list[Fact]]]:
        """The places whose watermark rose, with the facts that it has passed, in order."""
        risen = [
            (place, timeline)
            for place, timeline in sorted(self._timelines.items())
            if timeline.advance(now, settle_ms=self._settle_ms, patience_ms=self._patience_ms)
        ]
        return [(place, timeline, timeline.release()) for place, timeline in risen]

    def watermarks(self, tenant: str) -> dict[str, int]:
        """A tenant's sites with their watermarks (ms)."""
        ours = ((place.split("/"), timeline.watermark) for place, timeline in self._timelines.items())
        return {site: watermark for (owner, site), watermark in ours if owner == tenant}

    def snapshot(self) -> bytes:
        """All timelines."""
        return msgspec.msgpack.encode(self._timelines)

    def restore(self, part: bytes) -> None:
        """Continue with these timelines."""
        self._timelines = _DECODER.decode(part)

    def _timeline(self, place: str) -> Timeline:
        return self._timelines.setdefault(place, Timeline())
