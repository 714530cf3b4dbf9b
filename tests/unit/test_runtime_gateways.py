"""Who speaks is decided by the signature: no payload can claim another tenant, site or gateway."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.contract.commands import key_id
from ingest.contract.events import GatewayEvent
from ingest.contract.reasons import BatchRejection
from ingest.contract.records import SIGNATURE_HEADER, Headers, Record
from ingest.runtime.gateways import GatewayConfig, Gateways, UnverifiedError, signature_headers
from ingest.runtime.secrets import public_key_text

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
GATEWAYS = Gateways(
    [GatewayConfig(gateway="gw-1", tenant="acme", site="north", public_key=public_key_text(KEY.public_key()))]
)
EVENT = GatewayEvent(tenant="acme", site="north", gateway="gw-1", at=1, devices=2, silent=0, cut_off=False)


def record(value: bytes, key: Ed25519PrivateKey = KEY, headers: Headers | None = None) -> Record:
    signed = signature_headers(value, key, key_id(key.public_key())) if headers is None else headers
    return Record("fleet.devices.v1", 0, 0, b"k", value, signed, 0)


def reason(bad: Record) -> BatchRejection:
    with pytest.raises(UnverifiedError) as caught:
        GATEWAYS.read(bad, GatewayEvent)
    return caught.value.reason


def test_a_signed_event_of_a_known_gateway_is_read() -> None:
    assert GATEWAYS.read(record(msgspec.json.encode(EVENT)), GatewayEvent) == EVENT


def test_everything_else_is_refused_with_its_reason() -> None:
    value = msgspec.json.encode(EVENT)
    assert reason(record(value, headers=())) is BatchRejection.NO_SIGNATURE
    assert reason(record(value, OTHER)) is BatchRejection.UNKNOWN_GATEWAY
    garbled = tuple((n, b"%%" if n == SIGNATURE_HEADER else v) for n, v in record(value).headers)
    assert reason(record(value, headers=garbled)) is BatchRejection.BAD_SIGNATURE
    assert reason(record(b"{}", headers=record(value).headers)) is BatchRejection.BAD_SIGNATURE
    assert reason(record(b"{}")) is BatchRejection.MALFORMED


@pytest.mark.parametrize("field", ["tenant", "site", "gateway"])
def test_no_gateway_speaks_for_another(field: str) -> None:
    foreign = msgspec.structs.replace(EVENT, **{field: "other"})
    assert reason(record(msgspec.json.encode(foreign))) is BatchRejection.FOREIGN_ORIGIN
