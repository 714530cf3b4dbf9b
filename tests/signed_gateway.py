"""A gateway for tests: it makes signed, hash-chained batches, honest ones or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from ingest.contract.batch_wire import encode_batch
from ingest.contract.commands import key_id
from ingest.contract.ledger import GENESIS, LedgerEntry
from ingest.contract.records import TRACE_HEADER, Outgoing
from ingest.contract.topics import ROLLUPS
from ingest.runtime.gateways import GatewayConfig, Gateways, signature_headers
from ingest.runtime.secrets import public_key_text
from tests.rollup_batches import ORIGIN, T0, Row, balanced_entry, make_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.contract.batch import Origin, RollupBatch

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class SignedGateway:
    """Keeps a ledger: every batch continues the chain of the one before it."""

    def __init__(self, origin: Origin = ORIGIN, *, first_seq: int = 1) -> None:
        self.origin = origin
        self.key = Ed25519PrivateKey.generate()
        self.seq = first_seq - 1
        self.total = 0
        self.previous = GENESIS

    @property
    def config(self) -> GatewayConfig:
        return GatewayConfig(
            gateway=self.origin.gateway,
            tenant=self.origin.tenant,
            site=self.origin.site,
            public_key=public_key_text(self.key.public_key()),
        )

    @property
    def registry(self) -> Gateways:
        return Gateways([self.config])

    def batch(
        self,
        *rows: Row,
        net: int | None = None,
        replaces: Sequence[Row] = (),
        entry: LedgerEntry | None = None,
    ) -> RollupBatch:
        """The next batch; without rows one window of its own. `net` is what it adds, if not all of its samples."""
        self.seq += 1
        rows = rows or (Row(start=T0 + self.seq * 10_000),)
        net = sum(len(row.values) for row in rows) if net is None else net
        self.total += net
        entry = entry or balanced_entry(self.seq, net, self.total, self.previous)
        self.previous = entry.digest()
        created = T0 + self.seq * 10_000 + 20_000
        return make_batch(rows, origin=self.origin, seq=self.seq, replaces=replaces, ledger=entry, created=created)

    def unbalanced(self, *rows: Row) -> RollupBatch:
        """The next batch, whose entry leaves one sample unexplained."""
        honest = balanced_entry(self.seq + 1, 3, self.total + 3, self.previous)
        return self.batch(*rows, entry=replace(honest, received=honest.received + 1))

    def sign(self, batch: RollupBatch, *, key: Ed25519PrivateKey | None = None, site: str = "") -> Outgoing:
        return self.sign_value(encode_batch(batch), key=key, site=site)

    def sign_value(self, value: bytes, *, key: Ed25519PrivateKey | None = None, site: str = "") -> Outgoing:
        headers = signature_headers(value, key or self.key, key_id(self.key.public_key()))
        traced = ((TRACE_HEADER, TRACE.encode()), *headers)
        return Outgoing(ROLLUPS, (site or self.origin.site).encode(), value, traced)

    def record(self, *rows: Row) -> Outgoing:
        """The next batch as it goes into the log."""
        return self.sign(self.batch(*rows))
