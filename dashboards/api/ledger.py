"""The accounts of a tenant's gateways: what became of every sample."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from ingest.contract.ledger import ClassCounts
from ingest.contract.reasons import LedgerFinding


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What the API reads of an AccountEvent; the door's own state to resume is left out."""

    tenant: str
    site: str
    gateway: str
    boot: str
    received_seqs: list[tuple[int, int]]
    finding: str
    first_broken_seq: int
    received: int
    rolled_up: int
    duplicate: int
    rejected: dict[str, int]
    dropped: dict[str, int]
    open: int
    stored: int
    batches: int
    duplicate_batches: int
    at: int
    classes: dict[str, ClassCounts] = {}


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway's account in samples; `unaccounted` are samples that no count explains, `missing_batches` gaps.

    `classes`: the same counts by the devices' hardware, empty where it is unknown.
    """

    site: str
    gateway: str
    boot: str
    finding: str
    balanced: bool
    received: int
    rolled_up: int
    duplicate: int
    rejected: int
    rejected_by_reason: dict[str, int]
    dropped: int
    dropped_by_reason: dict[str, int]
    open: int
    unaccounted: int
    stored: int
    batches: int
    duplicate_batches: int
    missing_batches: int
    at: int
    classes: dict[str, dict[str, int]]


class LedgerTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts added up, in samples."""

    balanced: bool
    received: int
    rolled_up: int
    duplicate: int
    rejected: int
    dropped: int
    open: int
    unaccounted: int
    stored: int


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of a tenant."""

    totals: LedgerTotals
    accounts: list[AccountView]


def account_view(account: Account) -> AccountView:
    """One account with what follows from it."""
    rejected, dropped = sum(account.rejected.values()), sum(account.dropped.values())
    explained = account.rolled_up + account.duplicate + rejected + dropped + account.open
    unaccounted = account.received - explained
    return AccountView(
        site=account.site,
        gateway=account.gateway,
        boot=account.boot,
        finding=account.finding,
        balanced=account.finding == LedgerFinding.BALANCED and unaccounted == 0,
        received=account.received,
        rolled_up=account.rolled_up,
        duplicate=account.duplicate,
        rejected=rejected,
        rejected_by_reason=account.rejected,
        dropped=dropped,
        dropped_by_reason=account.dropped,
        open=account.open,
        unaccounted=unaccounted,
        stored=account.stored,
        batches=account.batches,
        duplicate_batches=account.duplicate_batches,
        missing_batches=missing(account.received_seqs),
        at=account.at,
        classes={hardware: msgspec.structs.asdict(counts) for hardware, counts in account.classes.items()},
    )


def missing(intervals: list[tuple[int, int]]) -> int:
    """How many seqs lie between the closed intervals of received ones."""
    ordered = sorted(intervals)
    return sum(max(0, after[0] - before[1] - 1) for before, after in pairwise(ordered))


def ledger_view(accounts: list[Account]) -> LedgerView:
    """All accounts and their totals."""
    views = sorted((account_view(a) for a in accounts), key=lambda view: (view.site, view.gateway, view.boot))
    totals = LedgerTotals(
        balanced=all(view.balanced for view in views),
        received=sum(view.received for view in views),
        rolled_up=sum(view.rolled_up for view in views),
        duplicate=sum(view.duplicate for view in views),
        rejected=sum(view.rejected for view in views),
        dropped=sum(view.dropped for view in views),
        open=sum(view.open for view in views),
        unaccounted=sum(view.unaccounted for view in views),
        stored=sum(view.stored for view in views),
    )
    return LedgerView(totals=totals, accounts=views)
