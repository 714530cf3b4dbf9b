"""Deliveries as people see them: what waits, what was refused for good, and sending that again or giving it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import apsw

from analytics.alerts.outbox_schema import prepare

if TYPE_CHECKING:
    from pathlib import Path

OUTCOMES = ("waiting", "dead", "delivered", "discarded", "superseded")


class Row(NamedTuple):
    """One change for one receiver; times in ms. `held`: 1 when it waits for a firing that was refused for good."""

    id: int
    receiver: str
    outcome: str
    state: str
    name: str
    fingerprint: str
    key: str
    queued_at: int
    done_at: int
    tries: int
    detail: str
    held: int


_ROWS = """
SELECT id, receiver, outcome, state, name, fingerprint, key, queued_at, done_at, tries, detail,
    outcome = 'waiting' AND EXISTS (
        SELECT 1 FROM deliveries AS e WHERE e.receiver = d.receiver AND e.fingerprint = d.fingerprint AND e.life = d.life
        AND e.outcome = 'dead' AND e.state = 'firing' AND e.id < d.id)
FROM deliveries AS d
WHERE (?1 = '' OR receiver = ?1) AND (?2 = '' OR outcome = ?2) ORDER BY id DESC LIMIT ?3
"""

_REPLAY = "UPDATE deliveries SET outcome = 'waiting', tries = 0, detail = '' WHERE id = ? AND outcome = 'dead'"
_DISCARD = "UPDATE deliveries SET outcome = 'discarded', done_at = ? WHERE id = ? AND outcome = 'dead'"

# The resolve that it held goes with it: nobody was told of what is over.
_DISCARD_HELD = """
UPDATE deliveries SET outcome = 'discarded', done_at = ?2 WHERE outcome = 'waiting' AND EXISTS (
    SELECT 1 FROM deliveries AS e WHERE e.id = ?1 AND e.state = 'firing' AND e.receiver = deliveries.receiver
    AND e.fingerprint = deliveries.fingerprint AND e.life = deliveries.life)
"""


class Desk:
    """Beside the process that delivers, or without it: the file is shared."""

    def __init__(self, path: Path) -> None:
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(10_000)
        prepare(self._db)

    def rows(self, receiver: str = "", outcome: str = "", most: int = 100) -> list[Row]:
        """The newest first."""
        return [Row(*row) for row in self._db.execute(_ROWS, (receiver, outcome, most))]

    def replay(self, row: int) -> bool:
        """Send what was refused for good again; whether there is such a row."""
        self._db.execute(_REPLAY, (row,))
        return bool(self._db.changes())

    def discard(self, row: int, now: int) -> bool:
        """Give up what was refused for good, and the resolve that waits for it; whether there is such a row."""
        with self._db:
            self._db.execute(_DISCARD, (now, row))
            found = bool(self._db.changes())
            if found:
                self._db.execute(_DISCARD_HELD, (row, now))
        return found

    def close(self) -> None:
        """Close the file."""
        self._db.close()
