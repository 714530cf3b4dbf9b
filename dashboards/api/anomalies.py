"""The newest anomalies of one tenant, one entry for each episode of a series."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ingest.contract.events import episode_of

if TYPE_CHECKING:
    from ingest.contract.events import AnomalyEvent


class Seen(NamedTuple):
    """The newest event of an episode, and how rare the rarest of it was."""

    event: AnomalyEvent
    least_probability: float
    number: int
    """Rises with every change of any episode."""


class AnomalyBook:
    """The newest event of each episode, at most `limit` episodes; the one unchanged for longest goes first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._number = limit, 0
        self._episodes: OrderedDict[str, Seen] = OrderedDict()

    def put(self, event: AnomalyEvent) -> str:
        """Take an event; returns what became of it: taken or stale."""
        event = msgspec.structs.replace(event, episode=event.episode or episode_of(event))
        before = self._episodes.get(event.episode)
        if before is not None and event.at < before.event.at:
            return "stale"
        least = min(event.tail_probability, before.least_probability if before else 1.0)
        self._number += 1
        self._episodes[event.episode] = Seen(event, least, self._number)
        self._episodes.move_to_end(event.episode)
        if len(self._episodes) > self._limit:
            self._episodes.popitem(last=False)
        return "taken"

    def get(self, episode: str) -> Seen | None:
        """One episode."""
        return self._episodes.get(episode)

    def page(self, site: str, device: str, since: int, limit: int, before: int | None = None) -> list[Seen]:
        """Up to `limit` episodes that changed at or after `since` (ms), numbered below `before`, the newest first; empty names match all."""
        found: list[Seen] = []
        for seen in reversed(self._episodes.values()):
            if before is not None and seen.number >= before:
                continue
            event = seen.event
            if site in ("", event.site) and device in ("", event.device) and event.at >= since:
                found.append(seen)
                if len(found) == limit:
                    break
        return found

    def list(self, site: str, device: str, since: int, limit: int) -> list[AnomalyEvent]:
        """The events of the first page."""
        return [seen.event for seen in self.page(site, device, since, limit)]
