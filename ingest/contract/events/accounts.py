"""The centre's account of a gateway: topic `ingest.accounts.v1`."""

from __future__ import annotations

import msgspec

from ingest.contract.ledger import ClassCounts


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `ingest.accounts.v1`, key `{tenant}/{site}/{gateway}/{boot}`: the centre's account of one gateway.

    It is also the door's state to resume: records of `partition` below `offset` are in it. `received_seqs` are closed
    intervals [first, last]; the counts are samples; `finding` is a LedgerFinding; `first_broken_seq` is 0 while the
    account holds. With `finding` "miscounted", `stored` differs from `rolled_up` although nothing is missing.
    """

    tenant: str
    site: str
    gateway: str
    boot: str
    partition: int
    offset: int
    received_seqs: list[tuple[int, int]]
    chain_seq: int
    chain_digest: bytes
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
    revisions: dict[str, tuple[int, int, int]] = {}
    """Hash of series and start (hexadecimal) to the seq that corrected that window, its revision (-1: replaced) and width."""
    excused_seqs: list[tuple[int, int]] = []
    """Closed intervals of seqs that the gateway declared replaced or gone: they are not missing."""
    classes: dict[str, ClassCounts] = {}
    """The samples by device class, as the newest entry has them."""
    pending_digests: dict[int, tuple[bytes, bytes, int]] = {}
    """seq to (previous, digest, created in ms) of the first and last entry of each interval received."""
