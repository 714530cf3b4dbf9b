"""What was done and what could not be taken, the newest of one tenant: entries of the audit log, dead letters."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from ingest.contract.records import DETAIL_HEADER, REASON_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.contract.records import Record

KEPT = 10_000

T = TypeVar("T")


class DeadLetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be taken: `offset` is its place among the dead letters of `topic`, `at` (ms) when it got there."""

    topic: str
    offset: int
    at: int
    reason: str
    detail: str
    site: str
    gateway: str
    bytes: int


class Recent(Generic[T]):
    """The newest things, each with a number that rises: what was read up to one stays where it was, whatever comes."""

    def __init__(self, kept: int = KEPT) -> None:
        self._things: deque[tuple[int, T]] = deque(maxlen=kept)
        self._number = 0

    def put(self, thing: T) -> str:
        """Take one: taken."""
        self._number += 1
        self._things.append((self._number, thing))
        return "taken"

    def page(self, before: int | None, limit: int, wanted: Callable[[T], bool]) -> list[tuple[int, T]]:
        """Up to `limit` that are wanted, the newest first, with a number below `before`."""
        found = (
            (number, thing)
            for number, thing in reversed(self._things)
            if (before is None or number < before) and wanted(thing)
        )
        return list(islice(found, limit))


def letter_view(record: Record, topic: str, site: str, gateway: str) -> DeadLetterView:
    """A record of the dead-letter topic of `topic`, without its contents."""
    ours = dict(record.headers)  # ours were added last
    return DeadLetterView(
        topic=topic,
        offset=record.offset,
        at=record.timestamp,
        reason=ours.get(REASON_HEADER, b"unknown").decode("utf-8", "replace"),
        detail=ours.get(DETAIL_HEADER, b"").decode("utf-8", "replace")[:500],
        site=site,
        gateway=gateway,
        bytes=len(record.value or b""),
    )
