"""Which gateways may speak, for which tenant and site: taken from their credential, never read from a payload."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature

from ingest.contract.batch_wire import decode_batch
from ingest.contract.commands import key_id
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import KEY_HEADER, SIGNATURE_HEADER, Record, read_event
from ingest.runtime.secrets import parse_public_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from ingest.contract.batch import RollupBatch
    from ingest.contract.records import Headers


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway: `public_key` is base64 of its Ed25519 key's raw 32 bytes."""

    gateway: str
    tenant: str
    site: str
    public_key: str


class UnverifiedError(ValueError):
    """A record that no known gateway signed, or that speaks for another; `reason` says which."""

    def __init__(self, reason: BatchRejection, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


T = TypeVar("T", bound=msgspec.Struct)


class Gateways:
    """The registry of gateways by key id. Raises SecretError for a key that is none."""

    def __init__(self, gateways: Iterable[GatewayConfig]) -> None:
        self._known: dict[str, tuple[Ed25519PublicKey, GatewayConfig]] = {}
        for gateway in gateways:
            key = parse_public_key(gateway.public_key)
            self._known[key_id(key)] = (key, gateway)

    def __iter__(self) -> Iterator[GatewayConfig]:
        return (gateway for _, gateway in self._known.values())

    def verify(self, record: Record) -> GatewayConfig:
        """Who signed the record's value. Raises UnverifiedError."""
        key, signature = record.header(KEY_HEADER), record.header(SIGNATURE_HEADER)
        if key is None or signature is None or record.value is None:
            raise UnverifiedError(BatchRejection.NO_SIGNATURE)
        known = self._known.get(key.decode("ascii", "replace"))
        if known is None:
            raise UnverifiedError(BatchRejection.UNKNOWN_GATEWAY, key.decode("ascii", "replace")[:64])
        try:
            known[0].verify(base64.b64decode(signature, validate=True), record.value)
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise UnverifiedError(BatchRejection.BAD_SIGNATURE, known[1].gateway) from error
        return known[1]

    def read(self, record: Record, kind: type[T]) -> T:
        """Verify, then parse an event whose tenant, site and gateway must be the signer's. Raises UnverifiedError."""
        signer = self.verify(record)
        event = read_event(record, kind)
        if event is None:
            raise UnverifiedError(BatchRejection.MALFORMED, kind.__name__)
        self.check_origin(signer, *(getattr(event, field, "") for field in ("tenant", "site", "gateway")))
        return event

    def read_batch(self, record: Record) -> RollupBatch:
        """Verify, then decode a batch that must speak for its signer. Raises UnverifiedError, BadBatchError."""
        signer = self.verify(record)
        assert record.value is not None
        batch = decode_batch(record.value)
        self.check_origin(signer, batch.origin.tenant, batch.origin.site, batch.origin.gateway)
        return batch

    @staticmethod
    def check_origin(signer: GatewayConfig, tenant: str, site: str, gateway: str) -> None:
        """Raises UnverifiedError when a signed value speaks for somebody else."""
        if (tenant, site, gateway) != (signer.tenant, signer.site, signer.gateway):
            raise UnverifiedError(BatchRejection.FOREIGN_ORIGIN, f"{tenant}/{site}/{gateway}")


def signature_headers(value: bytes, key: Ed25519PrivateKey, name: str) -> Headers:
    """The headers by which a gateway's record is verified; `name` is the key id."""
    signature = base64.b64encode(key.sign(value))
    return ((KEY_HEADER, name.encode()), (SIGNATURE_HEADER, signature))
