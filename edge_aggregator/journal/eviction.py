"""Which files of the journal may go: the oldest, when there are too many bytes or they are too old; never what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edge_aggregator.journal.file import DAMAGE

if TYPE_CHECKING:
    from edge_aggregator.journal.folder import Extent, Folder
    from edge_aggregator.journal.index import Index


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
    for extent in folder.covering(0, needed_from)[:-1] if len(folder.firsts) > 1 else []:
        if extent.last >= needed_from or extent.first == folder.firsts[-1]:
            break
        index = _index(folder, extent)
        if total <= bounds.max_bytes and not _old(index, now - bounds.max_age_ms):
            break
        files.append(extent.first)
        total -= folder.size(extent.first)
        # What cannot be read can have held anything: nothing in it is newer than now.
        newest_ts = max(newest_ts, now if index is None else index.newest_ts())
    return Eviction(files, newest_ts) if files else NOTHING


def pressed(folder: Folder, bounds: Bounds) -> int:
    """The last position of the oldest file when there are too many bytes, else 0: windows that need it must close."""
    too_much = len(folder.firsts) > 1 and folder.bytes() > bounds.max_bytes
    return folder.firsts[1] - 1 if too_much else 0


def _index(folder: Folder, extent: Extent) -> Index | None:
    try:
        index = folder.index(*extent)
    except DAMAGE:
        return None
    return None if index.gaps(*extent) else index


def _old(index: Index | None, before: int) -> bool:
    # The age of what cannot be read is not known: the bound on bytes will have it.
    return index is not None and int(index.rows["taken"].max()) < before
