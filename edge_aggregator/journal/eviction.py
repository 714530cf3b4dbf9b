"""Which files of the journal may go: the oldest, when there are too many bytes or they are too old; never what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import apsw

if TYPE_CHECKING:
    from edge_aggregator.journal.folder import Folder


class Bounds(NamedTuple):
    """How much of the past is kept."""

    max_bytes: int
    max_age_ms: int


class Eviction(NamedTuple):
    """Files to unlink, by first position, and the newest timestamp in them: late data up to it has lost its company."""

    files: list[int]
    newest_ts: int


NOTHING = Eviction([], -1)


def plan(folder: Folder, bounds: Bounds, now: int, needed_from: int) -> Eviction:
    """What may go at `now` (ms); blocks from position `needed_from` on stay."""
    files, newest_ts, total = [], -1, folder.bytes()
    for first, following in zip(folder.firsts, folder.firsts[1:], strict=False):
        if following > needed_from or not _due(folder, first, bounds, now, total):
            break
        files.append(first)
        total -= folder.size(first)
        newest_ts = max(newest_ts, _newest_ts(folder, first, now))
    return Eviction(files, newest_ts) if files else NOTHING


def pressed(folder: Folder, bounds: Bounds) -> int:
    """The last position of the oldest file when there are too many bytes, else 0: windows that need it must close."""
    too_much = len(folder.firsts) > 1 and folder.bytes() > bounds.max_bytes
    return folder.firsts[1] - 1 if too_much else 0


def _due(folder: Folder, first: int, bounds: Bounds, now: int, total: int) -> bool:
    if total > bounds.max_bytes:
        return True
    try:
        last = folder.file(first).last()
    except apsw.Error:  # its age cannot be read: the bound on bytes will have it
        return False
    return last is None or last[1] < now - bounds.max_age_ms


def _newest_ts(folder: Folder, first: int, now: int) -> int:
    try:
        return folder.file(first).newest_ts()
    except apsw.Error:  # unknown: nothing in it is newer than now
        return now
