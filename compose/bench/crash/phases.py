"""Where a crash happens: what the gateway is doing at each single operation on its disk."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random


class Phase(StrEnum):
    """What a gateway is doing."""

    JOURNAL_WRITE = "journal write"
    JOURNAL_SYNC = "journal sync"
    CHECKPOINT = "checkpoint"  # a write-ahead log is folded into its file
    STATE = "state transaction"
    ROTATION = "rotation"
    EVICTION = "eviction"
    MERGE = "merge of blocks"
    DEGRADATION = "degradation"  # an outbox that is full makes room
    FORWARD = "forward and remove"
    START = "start"  # files come into being, or what the last crash left is mended
    IDLE = "between operations"


class Activity(StrEnum):
    """Which of the gateway's calls is running."""

    START = "start"
    COMMIT = "commit"
    FLUSH = "flush"
    MERGE = "merge"
    DEGRADATION = "degradation"
    FORWARD = "forward"
    IDLE = "idle"


class Operation(StrEnum):
    """What is done to the disk."""

    CREATE = "create"
    WRITE = "write"
    SYNC = "sync"
    TRUNCATE = "truncate"
    UNLINK = "unlink"
    RENAME = "rename"
    SYNC_FOLDER = "sync folder"
    NOTHING = "nothing"


_BY_ACTIVITY = {
    Activity.FLUSH: Phase.STATE,
    Activity.DEGRADATION: Phase.DEGRADATION,
    Activity.FORWARD: Phase.FORWARD,
    Activity.IDLE: Phase.IDLE,
}
_WHOLE = {Activity.START: Phase.START, Activity.MERGE: Phase.MERGE}
"""Whose every operation is of one phase."""
_FLUSHES = (Activity.FLUSH, Activity.DEGRADATION)


def phase_of(activity: Activity, operation: Operation, path: str, *, new: bool) -> Phase:
    """The phase of one operation; `new`: the file was created in the very call that is running."""
    if activity in _WHOLE:
        return _WHOLE[activity]
    if activity is Activity.COMMIT and (new or operation in {Operation.CREATE, Operation.SYNC_FOLDER}):
        return Phase.ROTATION
    if activity in _FLUSHES and operation is Operation.UNLINK and "journal-" in path:
        return Phase.EVICTION
    if path.endswith(".db") and operation in {Operation.WRITE, Operation.SYNC, Operation.TRUNCATE}:
        return Phase.CHECKPOINT
    if activity is Activity.COMMIT:
        return Phase.JOURNAL_SYNC if operation is Operation.SYNC else Phase.JOURNAL_WRITE
    return _BY_ACTIVITY[activity]


class Spread(NamedTuple):
    """Crash points of a phase: among how many of its operations, and how late in the story the first of them may be."""

    operations: int
    latest: float


SPREAD = {
    Phase.JOURNAL_WRITE: Spread(8, 0.9),
    Phase.JOURNAL_SYNC: Spread(3, 0.9),
    Phase.CHECKPOINT: Spread(40, 0.6),
    Phase.STATE: Spread(40, 0.9),
    Phase.ROTATION: Spread(30, 0.4),
    Phase.EVICTION: Spread(4, 0.4),
    Phase.MERGE: Spread(8, 0.7),
    Phase.DEGRADATION: Spread(20, 0.0),
    Phase.FORWARD: Spread(12, 0.8),
    Phase.START: Spread(40, 0.0),
    Phase.IDLE: Spread(6, 0.9),
}


class CrashPoint:
    """The operation at which the power goes: the `skip`-th of its phase after commit number `commit`."""

    def __init__(self, phase: Phase, commit: int, skip: int) -> None:
        self.phase, self._commit, self._left = phase, commit, skip

    def strikes(self, phase: Phase, commits: int) -> bool:
        """Whether this operation is the one."""
        if phase is not self.phase or commits < self._commit:
            return False
        self._left -= 1
        return self._left < 0


def choose(phase: Phase, commits: int, chance: random.Random) -> CrashPoint:
    """A crash point in a story of so many commits."""
    spread = SPREAD[phase]
    return CrashPoint(phase, chance.randrange(1 + int(commits * spread.latest)), chance.randrange(spread.operations))
