"""All accounts that a door keeps, and where it begins after a start or a rebalance."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ingest.contract.events import AccountEvent
from ingest.contract.records import Outgoing, event_record, read_event
from ingest.contract.topics import ACCOUNTS
from ingest.door.account import MAX_COUNT, Account, from_event, to_event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ingest.contract.batch import Origin
    from ingest.contract.records import Record, TopicPartition


MAX_BOOTS = 64
"""Accounts kept of one gateway: it gets a new one when it loses its state, or whenever it likes if it is not honest."""


class Book:
    """Accounts by origin; those that changed since they were last saved are `unsaved`."""

    def __init__(self) -> None:
        self.accounts: dict[Origin, Account] = {}
        self._changed: dict[Origin, None] = {}
        self._retired: dict[Origin, None] = {}

    def restore(self, records: Iterable[Record], kept: Collection[TopicPartition]) -> None:
        """Continue from the newest account of each gateway; only those of `kept` partitions are newer here."""
        self.drop([account.place for account in self.accounts.values() if account.place not in kept])
        self._retired.clear()
        for account in map(_read, records):
            if account is not None:
                self.accounts.setdefault(account.origin, account)

    def drop(self, places: Collection[TopicPartition]) -> None:
        """Forget the accounts of these partitions, unsaved changes included."""
        for origin in [origin for origin, account in self.accounts.items() if account.place in places]:
            del self.accounts[origin]
            self._changed.pop(origin, None)

    def account(self, origin: Origin, place: TopicPartition) -> Account:
        """The account of a gateway, a new one if there is none."""
        if origin not in self.accounts:
            self._make_room(origin)
            self.accounts[origin] = Account(origin, place)
            self._retired.pop(origin, None)
        return self.accounts[origin]

    def changed(self, account: Account) -> None:
        """The account must be saved before the offset is committed."""
        self._changed[account.origin] = None

    def unsaved(self, now: int) -> list[Outgoing]:
        """One record per account that changed, a tombstone for each that was given up."""
        for origin in self._changed:
            self.accounts[origin].at = now
        tombstones = [Outgoing(ACCOUNTS, account_key(origin).encode(), None) for origin in self._retired]
        return tombstones + [account_record(self.accounts[origin], now) for origin in self._changed]

    def saved(self) -> None:
        """What was unsaved is in the log."""
        self._changed.clear()
        self._retired.clear()

    def missing(self, places: Collection[TopicPartition]) -> Counter[tuple[str, str]]:
        """Batches missing, by tenant and site, of the gateways in these partitions."""
        counts: Counter[tuple[str, str]] = Counter()
        for account in self._in(places):
            counts[account.origin.tenant, account.origin.site] += account.audit.missing
        return counts

    def breaches(self, places: Collection[TopicPartition]) -> Counter[tuple[str, str]]:
        """Gateways whose account breaks, by tenant and site, in these partitions."""
        counts: Counter[tuple[str, str]] = Counter()
        for account in self._in(places):
            counts[account.origin.tenant, account.origin.site] += account.breach is not None
        return counts

    def _make_room(self, newcomer: Origin) -> None:
        boots = [origin for origin in self.accounts if origin[:3] == newcomer[:3]]
        if len(boots) >= MAX_BOOTS:
            oldest = min(boots, key=lambda origin: self.accounts[origin].at or MAX_COUNT)
            del self.accounts[oldest]
            self._changed.pop(oldest, None)
            self._retired[oldest] = None

    def _in(self, places: Collection[TopicPartition]) -> list[Account]:
        return [account for account in self.accounts.values() if account.place in places]


def account_key(origin: Origin) -> str:
    """Gateways of two tenants may share a name, never a key: one's account must not displace the other's."""
    return "/".join(origin)


def account_record(account: Account, now: int) -> Outgoing:
    """The account as a record; its id is the same when the same state is written again."""
    key = account_key(account.origin)
    return event_record(
        ACCOUNTS,
        key,
        to_event(account, now),
        event_id=f"{key}/{account.place.partition}/{account.next_offset}",
        source="tidegate/ingest",
        time=now,
        trace=account.trace,
    )


def _read(record: Record) -> Account | None:
    event = read_event(record, AccountEvent)
    try:
        return from_event(event) if event is not None else None
    except ValueError:
        return None
