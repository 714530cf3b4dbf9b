"""The account of every sample of one gateway, hash-chained from batch to batch."""

from __future__ import annotations

import hashlib

import msgspec

GENESIS = bytes(32)
"""What the first entry of a chain names as its predecessor."""

Spans = tuple[tuple[int, int], ...]
"""Closed intervals [first, last] of seqs: rising, disjoint and not adjacent."""


def join_spans(*several: Spans) -> Spans:
    """The seqs of all of them."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(span for spans in several for span in spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


class ClassCounts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of the samples of one class of devices, since the account began."""

    received: int = 0
    rolled_up: int = 0
    duplicate: int = 0
    rejected: int = 0
    dropped: int = 0
    open: int = 0

    def unaccounted(self) -> int:
        """Samples received that no other count explains; 0 when the account balances."""
        return self.received - self.rolled_up - self.duplicate - self.rejected - self.dropped - self.open


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway's running totals (samples since its ledger began) when batch `seq` was closed.

    `rejected` and `dropped` count by reason (SampleRejection, SampleDrop); `net` is what this batch added to
    `rolled_up`; `previous` is the 32-byte digest of entry `seq - 1`. Since version 2: `replaces` are batches that were
    never sent and whose windows this one brings in coarser form, `gone` those that were dropped: both are never to be
    awaited. `carried` are samples that were rolled up before, in those batches, and that the centre has once it has this
    one: over all batches that are neither replaced nor gone, `net` + `carried` add up to `rolled_up`. `classes` splits the
    totals by the devices' hardware ("" where it is unknown); it has every class or none.
    """

    seq: int
    received: int
    rolled_up: int
    duplicate: int
    rejected: dict[str, int]
    dropped: dict[str, int]
    open: int
    net: int
    previous: bytes
    carried: int = 0
    replaces: Spans = ()
    gone: Spans = ()
    classes: dict[str, ClassCounts] = {}

    def unaccounted(self) -> int:
        """Samples received that no other count explains; 0 when the account balances."""
        explained = self.rolled_up + self.duplicate + sum(self.rejected.values()) + sum(self.dropped.values())
        return self.received - explained - self.open

    def balances(self) -> bool:
        """Whether every sample is accounted for, in all and in each class, and the classes add up to the totals."""
        if self.unaccounted() or any(counts.unaccounted() for counts in self.classes.values()):
            return False
        refused, lost = sum(self.rejected.values()), sum(self.dropped.values())
        totals = (self.received, self.rolled_up, self.duplicate, refused, lost, self.open)
        sums = tuple(map(sum, zip(*map(msgspec.structs.astuple, self.classes.values()), strict=True)))
        return not self.classes or sums == totals

    def digest(self) -> bytes:
        """SHA-256 over this entry's canonical MessagePack, 32 bytes.

        Canonical: a map of the fields in the order above, the first nine always there, the others where they are not 0
        or empty; inside `rejected`, `dropped` and `classes` the keys sorted by their UTF-8 bytes; every number and length
        in its shortest form (docs/wire-format.md). So an entry of version 1 has the digest that it always had.
        """
        return hashlib.sha256(_CANONICAL.encode(self)).digest()

    def first_version(self) -> LedgerEntry:
        """The entry as version 1 knows it: keys that came later are not part of it."""
        later = {"carried": 0, "replaces": (), "gone": (), "classes": {}}
        return msgspec.structs.replace(self, **later)


_CANONICAL = msgspec.msgpack.Encoder(order="deterministic")
