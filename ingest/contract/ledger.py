"""The account of every sample of one gateway, hash-chained from batch to batch."""

from __future__ import annotations

import hashlib

import msgspec

GENESIS = bytes(32)
"""What the first entry of a chain names as its predecessor."""


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's running totals (samples since its ledger began) when batch `seq` was closed.

    `rejected` and `dropped` count by reason (SampleRejection, SampleDrop); `net` is what this batch added to
    `rolled_up`; `previous` is the 32-byte digest of entry `seq - 1`.
    """

    seq: int
    received: int
    rolled_up: int
    duplicate: int
    rejected: dict[str, int]
    dropped: dict[str, int]
    open: int
    net: int
    previous: bytes = GENESIS

    def unaccounted(self) -> int:
        """Samples received that no other count explains; 0 when the account balances."""
        explained = self.rolled_up + self.duplicate + sum(self.rejected.values()) + sum(self.dropped.values())
        return self.received - explained - self.open

    def digest(self) -> bytes:
        """SHA-256 over this entry's canonical MessagePack, 32 bytes.

        Canonical: a map of the fields in the order above, each always there; inside `rejected` and `dropped` the keys
        sorted by their UTF-8 bytes; every number and length in its shortest form (docs/wire-format.md).
        """
        return hashlib.sha256(_CANONICAL.encode(self)).digest()


_CANONICAL = msgspec.msgpack.Encoder(order="deterministic")
