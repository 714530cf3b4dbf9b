"""The account of every sample of one gateway, hash-chained from batch to batch."""

from __future__ import annotations

import hashlib

import msgspec

GENESIS = bytes(32)
"""What the first entry of a chain names as its predecessor."""


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's running totals (samples since its ledger began) when batch `seq` was closed.

    `net` is what this batch added to `rolled_up`; `previous` is the 32-byte digest of entry `seq - 1`.
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
        """SHA-256 over the canonical MessagePack of this entry (map keys in order), 32 bytes."""
        return hashlib.sha256(_CANONICAL.encode(self)).digest()


_CANONICAL = msgspec.msgpack.Encoder(order="deterministic")
