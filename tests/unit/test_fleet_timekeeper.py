"""A device without a clock takes the time from its gateway: signed, for its own last question, soon, and never backwards."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compose.fleet.agent import Address
from compose.fleet.timekeeper import ANSWER_WITHIN_S, ASK_AGAIN_S, TRUSTED_S, Timekeeper
from ingest.contract.commands import SignedCommand, key_id, sign_command
from ingest.contract.device_time import SignedTime, TimeRequest
from tests.device_world import CENTRE, NOW, command

GATEWAY = Ed25519PrivateKey.generate()


def keeper() -> Timekeeper:
    keys = {key_id(GATEWAY.public_key()): GATEWAY.public_key()}
    return Timekeeper(Address("acme", "north", "pump-1"), keys, random.Random(1))


def asked(device: Timekeeper, at: float) -> str:
    request = device.request(at)
    assert request is not None
    return msgspec.json.decode(request, type=TimeRequest).nonce


def answer(nonce: str, time: int = NOW, key: Ed25519PrivateKey = GATEWAY, **changes: Any) -> bytes:
    content = SignedTime(
        kind="time",
        tenant="acme",
        site="north",
        device="pump-1",
        key=key_id(key.public_key()),
        nonce=nonce,
        time=time,
    )
    return msgspec.json.encode(sign_command(msgspec.structs.replace(content, **changes), key))


def set_at(monotonic: float, time: int = NOW) -> Timekeeper:
    device = keeper()
    assert device.take(answer(asked(device, monotonic), time), monotonic, 0)
    return device


def test_the_time_is_the_latest_that_it_can_be() -> None:
    device = keeper()
    assert device.now_ms(5.0) == 0
    nonce = asked(device, 5.0)
    assert device.take(answer(nonce), 7.0, 0)
    # It may have been signed as soon as it was asked for: two seconds ago.
    assert device.now_ms(7.0) == NOW + 2000
    assert device.now_ms(17.0) == NOW + 12_000


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "0" * 32},
        {"nonce": ""},
        {"kind": "install"},
        {"tenant": "other"},
        {"site": "south"},
        {"device": "pump-2"},
        {"time": NOW - 1},
        {"time": 12_345},
    ],
)
def test_what_is_no_answer_to_its_question_is_not_believed(changes: dict[str, Any]) -> None:
    device = keeper()
    assert not device.take(answer(**({"nonce": asked(device, 5.0)} | changes)), 5.0, floor_ms=NOW)
    assert device.now_ms(5.0) == 0


def tampered(nonce: str) -> bytes:
    signed, other = (msgspec.json.decode(answer(nonce, t), type=SignedCommand) for t in (NOW, NOW + 86_400_000))
    return msgspec.json.encode(msgspec.structs.replace(signed, payload=other.payload))


def test_a_signature_of_others_or_over_others_bytes_is_not_believed() -> None:
    device = keeper()
    nonce = asked(device, 5.0)
    # The centre signs commands: its key does not set clocks, as the gateway's does not command.
    assert not device.take(answer(nonce, key=CENTRE), 5.0, 0)
    assert not device.take(tampered(nonce), 5.0, 0)
    assert not device.take(b"\xff", 5.0, 0)
    assert device.take(answer(nonce), 5.0, 0)


def test_an_answer_counts_once_and_soon() -> None:
    device = keeper()
    nonce = asked(device, 0.0)
    assert not device.take(answer(nonce), ANSWER_WITHIN_S + 0.1, 0)
    again = asked(device, ANSWER_WITHIN_S + 0.1)
    assert again != nonce
    assert device.take(answer(again), 11.0, 0)
    assert not device.take(answer(again), 11.0, 0)
    assert not device.take(answer(nonce), 11.0, 0)


def test_it_asks_until_it_knows_and_then_now_and_then() -> None:
    device = keeper()
    assert [at for at in range(40) if device.request(float(at))] == [0, 10, 20, 30]
    device = set_at(0.0)
    assert device.request(ASK_AGAIN_S - 1) is None
    assert device.request(ASK_AGAIN_S) is not None


def test_it_never_runs_backwards() -> None:
    device = set_at(0.0)
    before = device.now_ms(ASK_AGAIN_S)
    assert not device.take(answer(asked(device, ASK_AGAIN_S), NOW), ASK_AGAIN_S, 0)
    assert device.now_ms(ASK_AGAIN_S) == before
    # An oscillator that is a little fast is put up with, and does not set the clock back.
    later = ASK_AGAIN_S + ANSWER_WITHIN_S
    little = NOW + round(later * 1000) - 2000
    assert device.take(answer(asked(device, later), little), later, 0)
    assert device.now_ms(later) == NOW + round(later * 1000)


def test_what_was_believed_is_not_believed_for_ever_nor_over_a_restart() -> None:
    device = set_at(0.0)
    assert device.now_ms(TRUSTED_S) > 0
    assert device.now_ms(TRUSTED_S + 1) == 0
    device = set_at(0.0)
    device.started()
    assert device.now_ms(0.0) == 0
    assert device.request(0.0) is not None


def test_without_keys_nobody_is_asked() -> None:
    device = Timekeeper(Address("acme", "north", "pump-1"), {}, random.Random(1))
    assert device.request(100.0) is None


def test_answers_and_commands_are_told_apart_by_their_keys() -> None:
    device = keeper()
    assert device.is_answer(answer("0" * 32))
    assert not device.is_answer(command())
    assert not device.is_answer(b"\xff")
    assert not device.is_answer(b"{}")
