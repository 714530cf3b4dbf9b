"""Writes that are sent again: the same `Idempotency-Key` gets the same answer, and nothing is done twice.

After draft-ietf-httpapi-idempotency-key-header: another request under a known key is refused (422), one that is still being
answered waits for its sender (409). Answers of the server's own errors are not kept: the same may succeed later.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

from dashboards.api.problems import ProblemError

MOST = 10_000
MOST_BYTES = 16 * 1024 * 1024
KEPT_S = 86_400.0
UNDER_WAY_S = 120.0
"""One that never got its answer (its sender left) stands in the way no longer than this."""
MOST_KEY = 200
_SERVER_ERROR = 500
_TOO_MANY = 429


class Answered(NamedTuple):
    """An answer as it was sent."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Entry:
    """One write: what was asked, since when (monotonic s), and the answer once there is one."""

    def __init__(self, fingerprint: bytes, since: float) -> None:
        self.fingerprint, self.since = fingerprint, since
        self.start: tuple[int, tuple[tuple[bytes, bytes], ...]] | None = None
        self.answer: Answered | None = None

    def size(self) -> int:
        """Bytes it holds, about."""
        return len(self.answer.body) + 500 if self.answer else 500


class IdempotencyStore:
    """Answers by sender and key, at most `MOST` of them and `MOST_BYTES`, for a day; the oldest make room."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, sender: str, key: str, asked: bytes, now: float) -> Entry | Answered:
        """The answer to what was asked before, or an entry to be filled. Raises ProblemError."""
        if not 0 < len(key) <= MOST_KEY:
            raise ProblemError(400, "bad-idempotency-key", f"expected an Idempotency-Key of 1 to {MOST_KEY} characters")
        fingerprint = hashlib.sha256(asked).digest()
        known = self._entries.get((sender, key))
        if known is not None and now - known.since < (KEPT_S if known.answer else UNDER_WAY_S):
            return _again(known, fingerprint)
        self.drop(sender, key)
        entry = self._entries[sender, key] = Entry(fingerprint, now)
        self._bytes += entry.size()
        return entry

    def finish(self, sender: str, key: str, answer: Answered) -> None:
        """What was answered; errors of the server are forgotten."""
        entry = self._entries.get((sender, key))
        if entry is None:
            return
        if answer.status >= _SERVER_ERROR or answer.status == _TOO_MANY:
            self.drop(sender, key)
            return
        self._bytes -= entry.size()
        entry.answer = answer
        self._bytes += entry.size()
        while len(self._entries) > MOST or self._bytes > MOST_BYTES:
            self._bytes -= self._entries.popitem(last=False)[1].size()

    def drop(self, sender: str, key: str) -> None:
        """Forget one."""
        entry = self._entries.pop((sender, key), None)
        self._bytes -= entry.size() if entry else 0


def _again(known: Entry, fingerprint: bytes) -> Answered:
    if known.fingerprint != fingerprint:
        raise ProblemError(
            422, "idempotency-key-reused", "this Idempotency-Key belongs to another request: choose another"
        )
    if known.answer is None:
        raise ProblemError(409, "still-under-way", "the same request is still being answered: ask again in a moment")
    return known.answer
