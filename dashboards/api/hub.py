"""Who listens for changes, and what each has still to be told: names of things, never a growing queue of events.

A slow reader is not sent every step but the newest state of whatever changed since it last read. What waits is one key
per changed thing; a reader for whom too much waits is told to read everything anew.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from dashboards.api.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboards.api.projection import Subject

PENDING_BYTES = 1_000_000

Thing = tuple[str, str]
"""Kind and key of what changed."""


class Subscription:
    """One reader: which kinds it wants, and what waits for it."""

    def __init__(self, tenant: str, kinds: frozenset[str], first: Iterable[Thing] = ()) -> None:
        self.tenant, self.kinds = tenant, kinds
        self.closed = False
        self._pending: dict[Thing, None] = {}
        self._bytes = 0
        self._overflowed = False
        self._wake = asyncio.Event()
        self.add_all(first)

    def __len__(self) -> int:
        return len(self._pending)

    def add_all(self, things: Iterable[Thing]) -> None:
        """All of these are to be told."""
        for thing in things:
            self.add(thing)

    def add(self, thing: Thing) -> None:
        """Something changed."""
        if thing in self._pending or thing[0] not in self.kinds:
            return
        self._bytes += len(thing[0]) + len(thing[1])
        if self._bytes > PENDING_BYTES:
            self._overflowed = True
            self._forget()
        else:
            self._pending[thing] = None
        self._wake.set()

    def take(self, most: int) -> list[Thing]:
        """Up to `most` things that changed, the one that waited longest first."""
        taken = list(islice(self._pending, most))
        for thing in taken:
            del self._pending[thing]
            self._bytes -= len(thing[0]) + len(thing[1])
        if not self._pending and not self.closed:
            self._wake.clear()
        return taken

    def overflowed(self) -> bool:
        """Whether too much waited since the last call: the reader has to read everything anew."""
        overflowed, self._overflowed = self._overflowed, False
        return overflowed

    async def wait(self, timeout_s: float) -> bool:
        """Whether something changed (or ended) within `timeout_s`."""
        try:
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Nothing more will come."""
        self.closed = True
        self._wake.set()

    def _forget(self) -> None:
        self._pending.clear()
        self._bytes = 0


class Hub:
    """All readers."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._subscriptions: set[Subscription] = set()
        self.remembered = Remembered()
        self.closed = False

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, subscription: Subscription) -> bool:
        """Tell this reader from now on; False when there are too many or the process is stopping."""
        if self.closed or len(self._subscriptions) >= self._most:
            return False
        self._subscriptions.add(subscription)
        return True

    def unsubscribe(self, subscription: Subscription) -> None:
        """This reader is gone."""
        self._subscriptions.discard(subscription)

    def publish(self, subject: Subject) -> None:
        """Something of a tenant changed."""
        self.remembered.note(subject)
        things = things_of(subject)
        for subscription in self._subscriptions:
            if subscription.tenant == subject.tenant:
                subscription.add_all(things)

    def close(self) -> None:
        """End every reader's stream."""
        self.closed = True
        for subscription in self._subscriptions:
            subscription.close()


def things_of(subject: Subject) -> list[Thing]:
    """What a change touches: a device's is also one of its site and of the fleet."""
    things = [(subject.kind, subject.key)]
    if subject.kind == "device":
        things += [("fleet", ""), ("site", subject.key.partition("/")[0])]
    return things
