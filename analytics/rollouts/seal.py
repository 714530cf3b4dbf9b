"""The gate's signature on its verdicts: Ed25519 over the record's bytes, in the headers that gateways' records have, too."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from msgspec import structs

from ingest.contract.commands import key_id
from ingest.contract.records import KEY_HEADER, SIGNATURE_HEADER
from ingest.contract.topics import VERDICTS
from ingest.runtime.gateways import signature_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from ingest.contract.records import Outgoing, Record


class Seal:
    """Signs verdicts with the key that signs commands. The same verdict has the same signature (RFC 8032), however often."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key, self._name = key, key_id(key.public_key())

    def __call__(self, outgoing: Iterable[Outgoing]) -> list[Outgoing]:
        """The records, verdicts among them signed."""
        return [self._signed(record) if record.topic == VERDICTS else record for record in outgoing]

    def _signed(self, record: Outgoing) -> Outgoing:
        headers = signature_headers(record.value or b"", self._key, self._name)
        return structs.replace(record, headers=record.headers + headers)


def signer_of(record: Record) -> str:
    """The id of the key that the record says it was signed with; empty when it is not signed."""
    return (record.header(KEY_HEADER) or b"").decode("ascii", "replace")[:64]


def signature_problem(record: Record, keys: Mapping[str, Ed25519PublicKey]) -> str:
    """Why the record is not one that a holder of one of these keys signed; empty when it is."""
    signer, signature = signer_of(record), record.header(SIGNATURE_HEADER)
    if not signer or signature is None:
        return "it is not signed"
    if signer not in keys:
        return f"signed with an unknown key, {signer}"
    try:
        keys[signer].verify(base64.b64decode(signature, validate=True), record.value or b"")
    except (InvalidSignature, binascii.Error, ValueError):
        return "its signature is not that of these bytes"
    return ""
