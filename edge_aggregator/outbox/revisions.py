"""Which revisions of which windows were emitted: only windows that were corrected have rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.windows.keys import Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import apsw
    from numpy.typing import NDArray

    from edge_aggregator.windows.rollups import Rollups

SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (series INTEGER, start INTEGER, width INTEGER, revision INTEGER,
    net INTEGER NOT NULL, record INTEGER NOT NULL, PRIMARY KEY (series, start, width, revision)) WITHOUT ROWID;
"""


class WindowId(NamedTuple):
    """One window; ms."""

    series: int
    start: int
    width: int


class Revisions:
    """`net`: the samples that go with a revision, should its record be dropped."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def highest(self, spans: Spans) -> NDArray[np.int64]:
        """The highest revision emitted of each window, shape (windows,); 0 without any."""
        query = "SELECT coalesce(max(revision), 0) FROM revisions WHERE series = ? AND start = ? AND width = ?"
        rows = zip(*(column.tolist() for column in spans), strict=True)
        found = [(self._db.execute(query, row).fetchone() or (0,))[0] for row in rows]
        return np.array(found, np.int64)

    def add(self, rollups: Rollups, record: int) -> None:
        """Remember the revisions among what is emitted; `record` is the id of the last record that they are in."""
        corrected = rollups.rows(rollups.revision > 0)
        columns = (corrected.series, corrected.start, corrected.width, corrected.revision, corrected.net)
        rows = [(*row, record) for row in zip(*(column.tolist() for column in columns), strict=True)]
        self._db.executemany("INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?, ?, ?)", rows)

    def net(self, window: WindowId, revision: int) -> int:
        """The samples that go with a revision."""
        query = "SELECT net FROM revisions WHERE series = ? AND start = ? AND width = ? AND revision = ?"
        row = self._db.execute(query, (*window, revision)).fetchone()
        return int(row[0]) if row else 0

    def hand_on(self, window: WindowId, revision: int, net: int) -> bool:
        """Let the next revision stand for `net` samples of a dropped one; whether there is a next one.

        The next one may have been sent already, as the newest leave first: it is the whole window all the same.
        """
        query = """SELECT min(revision) FROM revisions WHERE series = ? AND start = ? AND width = ? AND revision > ?"""
        row = self._db.execute(query, (*window, revision)).fetchone()
        if row is None or row[0] is None:
            return False
        update = "UPDATE revisions SET net = net + ? WHERE series = ? AND start = ? AND width = ? AND revision = ?"
        self._db.execute(update, (net, *window, row[0]))
        return True

    def drop(self, window: WindowId, revision: int) -> None:
        """A revision will not be sent: none before it may be handed on to it any more."""
        query = "DELETE FROM revisions WHERE series = ? AND start = ? AND width = ? AND revision = ?"
        self._db.execute(query, (*window, revision))

    def moved(self, windows: Iterable[WindowId | None], record: int) -> None:
        """These windows are in that record now, too."""
        known = self.series()
        query = "UPDATE revisions SET record = max(record, ?) WHERE series = ? AND start = ? AND width = ?"
        rows = [(record, *window) for window in windows if window is not None and window.series in known]
        self._db.executemany(query, rows)

    def series(self) -> set[int]:
        """The series that have corrected windows here."""
        return {int(row[0]) for row in self._db.execute("SELECT DISTINCT series FROM revisions")}

    def forget(self, past: Callable[[Spans], NDArray[np.bool_]], sent: int) -> None:
        """Forget the windows that `past` says are corrected no more, once all records up to `sent` are gone."""
        query = "SELECT series, start, width FROM revisions GROUP BY 1, 2, 3 HAVING max(record) <= ?"
        rows = list(self._db.execute(query, (sent,)))
        if rows:
            spans = Spans(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
            old = np.flatnonzero(past(spans)).tolist()
            remove = "DELETE FROM revisions WHERE series = ? AND start = ? AND width = ?"
            self._db.executemany(remove, [rows[index] for index in old])
