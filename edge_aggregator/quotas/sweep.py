"""Now and then, with a checkpoint: series that are not seen any more give back their places, then their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_aggregator.quotas.config import QuotaConfig
    from edge_aggregator.rooms import Rooms

_HOUR_MS = 3_600_000
_SWEEPS_PER_EXPIRY = 24
_LEAST_MS = 10_000


class Sweeper:
    """Sweeps two dozen times within `expiry_h`."""

    def __init__(self, config: QuotaConfig) -> None:
        self._expiry_ms = round(config.expiry_h * _HOUR_MS)
        self._every_ms = max(self._expiry_ms // _SWEEPS_PER_EXPIRY, min(_LEAST_MS, self._expiry_ms))
        self._swept_at = 0

    def sweep(self, rooms: Rooms, now: int) -> None:
        """If it is time, at `now` (ms): within the checkpoint's transaction.

        A name is forgotten once the journal holds nothing of its series and no correction of it waits: until then a
        series that comes back gets its old id, so that its late windows are still corrected.
        """
        if abs(now - self._swept_at) < self._every_ms:
            return
        self._swept_at = now
        places, names = rooms.names.places, rooms.names
        if places.sweep(now, rooms.position, self._expiry_ms):
            rooms.tables.forget_shapes()
        found = places.forgettable(rooms.journal.folder.firsts[0]).tolist()
        corrected = rooms.state.revisions.series() if found else set()
        rooms.state.forget_series(names.forget_series([series for series in found if series not in corrected]))
        rooms.state.save_places(places)
