"""Requests for raw samples, durable: answered once, remembered until nobody can ask the same again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.requests import SampleRequest

if TYPE_CHECKING:
    import apsw

SCHEMA = """
CREATE TABLE IF NOT EXISTS sample_requests (request TEXT PRIMARY KEY, taken INTEGER NOT NULL, expires INTEGER NOT NULL,
    attempt INTEGER NOT NULL, status TEXT NOT NULL, trace TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
"""
WAITING = "waiting"
KEPT_MS = 86_400_000
"""For so long after its expiry a request is remembered: a clock that is set back must not have it answered again."""


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is being answered, for the `attempt`-th time; `trace` is the request's own."""

    request: SampleRequest
    attempt: int
    trace: str


class RequestTable:
    """Writes happen within the caller's transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def knows(self, request: str) -> bool:
        """Whether this id has been taken before."""
        return bool(self._db.execute("SELECT 1 FROM sample_requests WHERE request = ?", (request,)).fetchone())

    def waiting(self) -> int:
        """How many are not answered yet."""
        row = self._db.execute("SELECT count(*) FROM sample_requests WHERE status = ?", (WAITING,)).fetchone()
        return int(row[0]) if row else 0

    def add(self, request: SampleRequest, now: int, trace: str, status: str = WAITING) -> None:
        """Take a new one."""
        row = (request.request, now, request.expires, 0, status, trace, msgspec.json.encode(request))
        self._db.execute("INSERT INTO sample_requests VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def begin(self) -> OpenRequest | None:
        """The one that waits longest, counted as begun once more."""
        query = """UPDATE sample_requests SET attempt = attempt + 1 WHERE request = (SELECT request FROM sample_requests
            WHERE status = ? ORDER BY taken, request LIMIT 1) RETURNING body, attempt, trace"""
        row = self._db.execute(query, (WAITING,)).fetchone()
        if row is None:
            return None
        request = msgspec.json.decode(bytes(row[0]), type=SampleRequest)
        return OpenRequest(request=request, attempt=int(row[1]), trace=str(row[2]))

    def close(self, request: str, outcome: str) -> None:
        """It is dealt with."""
        self._db.execute("UPDATE sample_requests SET status = ? WHERE request = ?", (outcome, request))

    def forget(self, now: int) -> None:
        """Forget what expired long before `now` (ms)."""
        self._db.execute("DELETE FROM sample_requests WHERE status != ? AND expires < ?", (WAITING, now - KEPT_MS))
