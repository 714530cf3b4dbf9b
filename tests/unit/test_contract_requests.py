"""Signed requests for raw samples: what was signed is what is asked, and a command is no request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.contract.commands import INSTALL, Command, RefusedCommandError, key_id, open_command, sign_command
from ingest.contract.reasons import CommandRefusal, RequestRefusal
from ingest.contract.requests import METRICS_LIMIT, PATTERN_LIMIT, SampleRequest, open_request

KEY = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
KEYS = {key_id(KEY.public_key()): KEY.public_key()}
REQUEST = SampleRequest(
    request="r1",
    kind="samples",
    tenant="acme",
    site="plant-7",
    device="pump-*",
    metrics=["temp*"],
    start=0,
    end=10,
    most_samples=100,
    asked_by="ann",
    key=key_id(KEY.public_key()),
    issued=5,
    expires=50,
)


def opened(**changes: Any) -> SampleRequest:
    request = msgspec.structs.replace(REQUEST, **changes)
    return open_request(msgspec.json.encode(sign_command(request, KEY)), KEYS)


def test_what_was_signed_comes_back() -> None:
    assert opened() == REQUEST
    assert opened(metrics=[]).metrics == []


@pytest.mark.parametrize(
    "changes",
    [
        {"request": "a b"},
        {"tenant": ""},
        {"site": "a/b"},
        {"device": ""},
        {"device": "x" * (PATTERN_LIMIT + 1)},
        {"metrics": [""]},
        {"metrics": ["*"] * (METRICS_LIMIT + 1)},
        {"asked_by": "a\nb"},
        {"start": 10},
        {"start": -1},
        {"end": 1 << 60},
        {"expires": 5},
        {"issued": -1},
        {"most_samples": 0},
    ],
)
def test_what_cannot_be_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedCommandError) as caught:
        opened(**changes)
    assert caught.value.reason is CommandRefusal.MALFORMED


def test_a_signed_command_is_no_request_and_a_request_no_command() -> None:
    command = Command(
        command="c",
        kind=INSTALL,
        tenant="acme",
        site="plant-7",
        device="d",
        rollout="r",
        key=REQUEST.key,
        counter=1,
        issued=1,
        expires=2,
        version="2",
        digest="sha256:00",
    )
    for signed, open_it in ((sign_command(command, KEY), open_request), (sign_command(REQUEST, KEY), open_command)):
        with pytest.raises(RefusedCommandError):
            open_it(msgspec.json.encode(signed), KEYS)


def test_every_way_to_be_no_envelope_is_a_refusal_of_a_request_too() -> None:
    for reason in (CommandRefusal.MALFORMED, CommandRefusal.UNKNOWN_KEY, CommandRefusal.BAD_SIGNATURE):
        assert RequestRefusal(reason.value)
