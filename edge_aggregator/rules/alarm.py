"""An alarm of one rule for one series or device, and how it is kept in the gateway's state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import AlertState

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

SCHEMA = """
CREATE TABLE IF NOT EXISTS alarms (fingerprint TEXT PRIMARY KEY, state TEXT NOT NULL, alarm BLOB NOT NULL) WITHOUT ROWID;
"""
_ENCODER = msgspec.msgpack.Encoder()


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Times in ms of event time: `since`, the first window that entered; `fired_at` 0 before it fires; `at`, the newest

    window that changed it. `metric` is empty where a whole device is meant.
    """

    rule: str
    device: str
    metric: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    state: AlertState
    severity: str
    message: str
    since: int
    at: int
    fired_at: int = 0
    streak: int = 0
    value: float = 0.0
    reason: str = ""
    """Why it ended, when it was not its windows that ended it."""

    def fingerprint(self) -> str:
        """Names the rule's alarm of this series, the same in every life."""
        parts = [self.rule, self.device, self.metric, *(f"{name}={value}" for name, value in self.labels)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


_DECODER = msgspec.msgpack.Decoder(Alarm)


class AlarmTable:
    """Alarms that are pending or firing. Writes happen within the caller's transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def load(self) -> list[Alarm]:
        """All of them."""
        return [_DECODER.decode(bytes(row[0])) for row in self._db.execute("SELECT alarm FROM alarms")]

    def save(self, changed: Iterable[Alarm]) -> None:
        """Keep what is pending or firing, forget what has ended."""
        for alarm in changed:
            key = alarm.fingerprint()
            if alarm.state is AlertState.RESOLVED:
                self._db.execute("DELETE FROM alarms WHERE fingerprint = ?", (key,))
            else:
                row = (key, alarm.state.value, _ENCODER.encode(alarm))
                self._db.execute("INSERT OR REPLACE INTO alarms VALUES (?, ?, ?)", row)
