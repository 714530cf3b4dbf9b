"""Signed commands: what was signed is what is obeyed, and everything else is refused, never worse."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.commands import (
    INSTALL,
    Command,
    RefusedCommandError,
    SignedCommand,
    key_id,
    open_command,
    sign_command,
)
from ingest.contract.reasons import CommandRefusal

OURS, THEIRS = (Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in (1, 2))
KEYS = {key_id(OURS.public_key()): OURS.public_key()}
COMMAND = Command(
    command="cmd-1",
    kind=INSTALL,
    tenant="acme",
    site="plant-7",
    device="pump-1",
    rollout="fw-2.3",
    key=key_id(OURS.public_key()),
    counter=7,
    issued=1_700_000_000_000,
    expires=1_700_086_400_000,
    version="2.2.0",
    digest="sha256:00",
)
texts = st.text(max_size=20)
commands = st.builds(
    Command,
    command=texts,
    kind=texts,
    tenant=texts,
    site=texts,
    device=texts,
    rollout=texts,
    key=st.just(COMMAND.key),
    counter=st.integers(-(1 << 63), (1 << 63) - 1),
    issued=st.integers(-(1 << 63), (1 << 63) - 1),
    expires=st.integers(-(1 << 63), (1 << 63) - 1),
    version=texts,
    digest=texts,
)


def envelope(command: Command = COMMAND, key: Ed25519PrivateKey = OURS) -> bytes:
    return msgspec.json.encode(sign_command(command, key))


def signed_bytes(payload: bytes, key: Ed25519PrivateKey = OURS, name: str = COMMAND.key) -> bytes:
    signature = base64.b64encode(key.sign(payload)).decode()
    return msgspec.json.encode(SignedCommand(key=name, payload=base64.b64encode(payload).decode(), signature=signature))


def refusal(value: bytes) -> CommandRefusal:
    with pytest.raises(RefusedCommandError) as caught:
        open_command(value, KEYS)
    return caught.value.reason


@given(commands)
def test_what_was_signed_comes_back(command: Command) -> None:
    assert open_command(envelope(command), KEYS) == command


def test_a_foreign_key_is_unknown() -> None:
    foreign = msgspec.structs.replace(COMMAND, key=key_id(THEIRS.public_key()))
    assert refusal(envelope(foreign, THEIRS)) is CommandRefusal.UNKNOWN_KEY


def test_a_foreign_signature_under_our_name_is_none() -> None:
    assert refusal(envelope(COMMAND, THEIRS)) is CommandRefusal.BAD_SIGNATURE


def test_the_key_inside_must_be_the_one_that_signed() -> None:
    inside = msgspec.structs.replace(COMMAND, key=key_id(THEIRS.public_key()))
    signed = msgspec.structs.replace(sign_command(inside, OURS), key=COMMAND.key)
    assert refusal(msgspec.json.encode(signed)) is CommandRefusal.UNKNOWN_KEY


def test_a_changed_payload_is_refused_before_it_is_parsed() -> None:
    signed = sign_command(COMMAND, OURS)
    changed = base64.b64encode(signed.signed_bytes().replace(b"2.2.0", b"6.6.6")).decode()
    assert (
        refusal(msgspec.json.encode(msgspec.structs.replace(signed, payload=changed))) is CommandRefusal.BAD_SIGNATURE
    )
    nonsense = msgspec.structs.replace(signed, payload=base64.b64encode(b"not json").decode())
    assert refusal(msgspec.json.encode(nonsense)) is CommandRefusal.BAD_SIGNATURE


@pytest.mark.parametrize("size", [0, 1, 63, 65])
def test_a_signature_of_another_length(size: int) -> None:
    signed = msgspec.structs.replace(sign_command(COMMAND, OURS), signature=base64.b64encode(bytes(size)).decode())
    assert refusal(msgspec.json.encode(signed)) is CommandRefusal.BAD_SIGNATURE


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b'{"key":"k","payload":"%%%","signature":""}',
        '{"key":"k","payload":"\u00f6","signature":""}'.encode(),
        b'{"key":"k","payload":"YQ","signature":"YQ=="}',
        b'{"key":"\\ud800","payload":"","signature":""}',
        b'{"key":1,"payload":"","signature":""}',
    ],
)
def test_what_is_no_envelope(value: bytes) -> None:
    assert refusal(value) is CommandRefusal.MALFORMED


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"command":1}', b"\xff", b'{"x":' + b"[" * 100_000])
def test_what_is_signed_and_no_command(payload: bytes) -> None:
    assert refusal(signed_bytes(payload)) is CommandRefusal.MALFORMED


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(RefusedCommandError):
        open_command(value, KEYS)


@given(st.data())
def test_a_changed_envelope_is_refused_or_says_the_same(data: st.DataObject) -> None:
    changed = bytearray(envelope())
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        opened: Any = open_command(bytes(changed), KEYS)
    except RefusedCommandError:
        return
    assert opened == COMMAND


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=6,
    )
)
def test_signed_json_of_any_kind_is_refused(content: object) -> None:
    assert refusal(signed_bytes(msgspec.json.encode(content))) is CommandRefusal.MALFORMED


def test_a_command_of_a_later_release_is_read_by_this_one() -> None:
    fields = {**msgspec.to_builtins(COMMAND), "window": {"from": 1}}
    assert open_command(signed_bytes(msgspec.json.encode(fields)), KEYS) == COMMAND
