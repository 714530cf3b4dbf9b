"""What sites have said of slots that are not decided yet: a slot waits until all sites have gone on to a later one.

Three have to; for the others it waits for two minutes of the log's time, since partitions of the first stage are not read at the same pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.detectors.cohort_shift import SLOT_WINDOWS
from ingest.contract.events import CohortPart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.contract.events import CohortEvent

QUORUM = 3
"""So many sites must have gone on: the clock of one or two may be wrong."""
WAIT_MS = 120_000
MOST_SLOTS = 64
"""More do not wait: the newest of those of which the fewest have spoken is given up."""
SILENT_SLOTS = 64
"""A site that has not spoken for so many is not waited for."""

Source = tuple[str, str, str, int, str]
"""Site, gateway, boot, number of the batch, and what its part of the batch begins with: what is said twice counts once."""


class Waiting(msgspec.Struct):
    """Slots by time (ms) of one width (ms), each with what was said of it; `decided`: the newest that waits no more.

    `newest`: the newest slot that each site has spoken of; `passed`: when (ms, the log's time) three sites had gone on.
    """

    width: int
    slots: dict[int, dict[Source, list[CohortPart]]] = {}
    newest: dict[str, int] = {}
    passed: dict[int, int] = {}
    decided: int = 0
    parts: int = 0
    """So much waits."""

    def take(self, event: CohortEvent) -> bool:
        """Whether it came in time."""
        self.newest[event.site] = max(event.at, self.newest.get(event.site, 0))
        if event.at <= self.decided:
            return False
        first = event.parts[0]
        begins = f"{first.metric}\n{first.hardware}\n{first.firmware}"
        source = (event.site, event.gateway, event.boot, event.seq, begins)
        said = self.slots.setdefault(event.at, {})
        self.parts += len(event.parts) - len(said.get(source, ()))
        said[source] = event.parts
        if len(self.slots) > MOST_SLOTS:
            self._pop(min(self.slots, key=lambda at: (len(self._sites(at)), -at)))
        return True

    def due(self, logged: int) -> Iterator[tuple[int, dict[Source, list[CohortPart]]]]:
        """The slots that wait no longer when the log has come to `logged` (ms), the first one first."""
        gone_on = sorted(self.newest.values(), reverse=True)
        before = gone_on[QUORUM - 1] if len(gone_on) >= QUORUM else 0
        for at in sorted(at for at in self.slots if at < before):
            if at >= gone_on[-1] and logged - self.passed.setdefault(at, logged) < WAIT_MS:
                break
            self.decided = at
            yield at, self._pop(at)
        self._forget()

    def _pop(self, at: int) -> dict[Source, list[CohortPart]]:
        said = self.slots.pop(at)
        self.passed.pop(at, None)
        self.parts -= sum(map(len, said.values()))
        return said

    def _forget(self) -> None:
        oldest = self.decided - SILENT_SLOTS * SLOT_WINDOWS * self.width
        if any(at < oldest for at in self.newest.values()):
            self.newest = {site: at for site, at in self.newest.items() if at >= oldest}

    def _sites(self, at: int) -> set[str]:
        return {source[0] for source in self.slots[at]}
