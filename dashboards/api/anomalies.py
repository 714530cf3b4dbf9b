"""The newest anomalies of one tenant, one entry for each episode of a series."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest.contract.events import AnomalyEvent

Episode = tuple[str, str, str, tuple[tuple[str, str], ...], str, int]


class AnomalyBook:
    """The newest event of each episode, at most `limit` episodes; the one unchanged for longest goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._episodes: OrderedDict[Episode, AnomalyEvent] = OrderedDict()

    def put(self, event: AnomalyEvent) -> str:
        """Take an event; returns what became of it: taken or stale."""
        episode = (event.site, event.device, event.metric, event.labels, event.detector, event.since)
        before = self._episodes.get(episode)
        if before is not None and event.at < before.at:
            return "stale"
        self._episodes[episode] = event
        self._episodes.move_to_end(episode)
        if len(self._episodes) > self._limit:
            self._episodes.popitem(last=False)
        return "taken"

    def list(self, site: str, device: str, since: int, limit: int) -> list[AnomalyEvent]:
        """Up to `limit` episodes that changed at or after `since` (ms), the newest first; empty names match all."""
        found: list[AnomalyEvent] = []
        for event in reversed(self._episodes.values()):
            if site in ("", event.site) and device in ("", event.device) and event.at >= since:
                found.append(event)
                if len(found) == limit:
                    break
        return found
