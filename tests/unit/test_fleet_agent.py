"""The reference agent obeys what is signed, its own, in time and new; everything else it refuses with the reason."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compose.fleet.agent import Agent, load_state, save_state
from compose.fleet.release import Registry, Release
from ingest.contract.commands import INSTALL, Command, key_id, sign_command
from ingest.contract.events import AckStatus
from ingest.contract.reasons import CommandRefusal

NOW = 1_790_000_000_000
CENTRE, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
OLD, NEW = Release(version="2.2.0"), Release(version="2.3.0")


def agent() -> Agent:
    keys = {key_id(CENTRE.public_key()): CENTRE.public_key()}
    return Agent(tenant="acme", site="north", device="pump-1", keys=keys, registry=Registry([OLD, NEW]))


def command(key: Ed25519PrivateKey = CENTRE, **changes: object) -> bytes:
    content = Command(
        command="c1",
        kind=INSTALL,
        tenant="acme",
        site="north",
        device="pump-1",
        rollout="r1",
        key=key_id(key.public_key()),
        counter=7,
        issued=NOW,
        expires=NOW + 60_000,
        version="2.3.0",
        digest=NEW.digest(),
    )
    return msgspec.json.encode(sign_command(msgspec.structs.replace(content, **changes), key))


def test_an_install_is_accepted_then_done_after_the_boot() -> None:
    device = agent()
    decision = device.receive(command(), "2.2.0", NOW)
    assert (decision.acks[0].status, decision.install) == (AckStatus.ACCEPTED, "2.3.0")
    done = device.booted("2.3.0")
    assert (done.acks[0].status, done.acks[0].command, done.acks[0].firmware) == (AckStatus.DONE, "c1", "2.3.0")
    assert device.booted("2.3.0").acks == []


def test_the_same_command_again_is_answered_again_and_done_once() -> None:
    device = agent()
    device.receive(command(), "2.2.0", NOW)
    device.booted("2.3.0")
    again = device.receive(command(), "2.3.0", NOW + 120_000)  # even after its expiry
    assert (again.acks[0].status, again.install) == (AckStatus.DONE, "")


@pytest.mark.parametrize(
    ("envelope", "now", "reason"),
    [
        (b"\xff not json", NOW, CommandRefusal.MALFORMED),
        (command(STRANGER), NOW, CommandRefusal.UNKNOWN_KEY),
        (command(tenant="other"), NOW, CommandRefusal.FOREIGN_TENANT),
        (command(site="south"), NOW, CommandRefusal.FOREIGN_SITE),
        (command(device="pump-2"), NOW, CommandRefusal.FOREIGN_DEVICE),
        (command(counter=8, expires=NOW - 1), NOW, CommandRefusal.EXPIRED),
        (command(counter=8, kind="format-disk"), NOW, CommandRefusal.UNKNOWN_KIND),
        (command(counter=6), NOW, CommandRefusal.REPLAYED),
        (command(version="2.2.0"), NOW, CommandRefusal.COUNTER_REUSED),
        (command(counter=8), 12_345, CommandRefusal.CLOCK_UNSET),
    ],
)
def test_what_must_not_be_obeyed_is_refused_with_the_reason(envelope: bytes, now: int, reason: CommandRefusal) -> None:
    device = agent()
    device.receive(command(), "2.2.0", NOW)
    before = msgspec.json.encode(device.state)
    decision = device.receive(envelope, "2.2.0", now)
    assert (decision.acks[0].status, decision.acks[0].reason) == (AckStatus.REFUSED, reason)
    assert decision.install == ""
    assert msgspec.json.encode(device.state) == before


def test_a_tampered_command_is_refused() -> None:
    signed = msgspec.json.decode(command())
    signed["payload"] = signed["payload"][:-8] + "AAAAAAA="
    decision = agent().receive(msgspec.json.encode(signed), "2.2.0", NOW)
    assert decision.acks[0].reason in {CommandRefusal.BAD_SIGNATURE, CommandRefusal.MALFORMED}


def test_an_image_with_another_digest_is_not_installed() -> None:
    decision = agent().receive(command(digest="sha256:00"), "2.2.0", NOW)
    assert (decision.acks[0].status, decision.install) == (AckStatus.FAILED, "")


def test_the_counter_survives_a_restart(tmp_path: Path) -> None:
    device, path = agent(), tmp_path / "state.json"
    device.receive(command(counter=41), "2.2.0", NOW)
    save_state(device.state, path)
    restarted = agent()
    restarted.state = load_state(path)
    assert restarted.receive(command(counter=40), "2.2.0", NOW).acks[0].reason == CommandRefusal.REPLAYED
