"""Commands: only what the centre signed for this site goes down, once; every refusal and every answer goes up."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.commands.verify import verify
from edge_aggregator.receive.port import Message
from ingest.contract.bundle import bundle
from ingest.contract.commands import Command, SignedCommand, key_id, sign_command
from ingest.contract.records import Record
from ingest.contract.topics import COMMANDS, dead, device_topic
from tests.edge_bench import SITE, T0, Bench
from tests.edge_orders import (
    CENTRE,
    acknowledge,
    answers,
    command,
    envelope,
    give,
    give_bundled,
    opened,
    refuse,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from opened(tmp_path)


def test_a_good_command_waits_for_its_device_verbatim(bench: Bench) -> None:
    sent = envelope()
    give(bench, sent)
    bench.restart()
    [known] = bench.core.unanswered()
    assert (known.command, known.device, known.envelope) == ("c1", "pump", sent)
    assert answers(bench) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tenant": "other"}, "foreign_tenant"),
        ({"site": "site-2"}, "foreign_site"),
        ({"device": "unheard-of"}, "foreign_device"),
        ({"expires": T0}, "expired"),
        ({"command": "c2", "counter": 4}, "replayed"),
        ({"command": "c2", "counter": 5}, "counter_reused"),
    ],
)
def test_what_must_not_be_obeyed_is_refused_and_answered(bench: Bench, changes: dict[str, Any], reason: str) -> None:
    if "counter" in changes:
        give(bench, envelope())
    before = waiting(bench)
    give(bench, envelope(**changes))
    assert waiting(bench) == before
    name, device = changes.get("command", "c1"), changes.get("device", "pump")
    assert answers(bench) == [(name, device, "refused", reason)]
    assert bench.core.standing().commands[f"refused_{reason}"] == 1
    [letter] = [waiting.record for waiting in bench.waiting() if waiting.record.topic == dead(COMMANDS)]
    assert dict(letter.headers)["tidegate_reason"] == reason.encode()


def test_who_vouches_for_commands_together_need_not_sign_each_for_the_gateway(bench: Bench) -> None:
    sent = [envelope(), envelope(command="c2", device="fan")]
    broken = msgspec.json.encode(msgspec.structs.replace(sign_command(command(), CENTRE), signature="AAAA"))
    give_bundled(bench, *zip([broken, sent[1]], bundle([broken, sent[1]], CENTRE), strict=True))
    assert waiting(bench) == ["c2", "c1"]  # the device checks its own signature, and refuses


def test_a_proof_that_does_not_fit_changes_nothing(bench: Bench) -> None:
    sent = [envelope(), envelope(command="c2", device="fan")]
    stranger = Ed25519PrivateKey.generate()
    proofs = [b"?", bundle(sent, stranger)[1]]
    give_bundled(bench, *zip(sent, proofs, strict=True))
    assert waiting(bench) == ["c2", "c1"]
    changed = tampered()
    [fitting, _] = bundle([envelope(), changed], CENTRE)
    give_bundled(bench, (changed, fitting))
    assert [answer[3] for answer in answers(bench)] == ["bad_signature"]


@pytest.mark.parametrize("sent", ["by_a_stranger", "under_another_name"])
def test_a_strangers_bundle_vouches_for_nothing(bench: Bench, sent: str) -> None:
    envelopes = [by_a_stranger() if sent == "by_a_stranger" else under_another_name(), envelope(command="c9")]
    give_bundled(bench, (envelopes[0], bundle(envelopes, CENTRE)[0]))
    assert [answer[3] for answer in answers(bench)] == ["unknown_key"]


def tampered() -> bytes:
    signed = sign_command(command(), CENTRE)
    other = base64.b64encode(msgspec.json.encode(command(version="6.6.6"))).decode()
    return msgspec.json.encode(msgspec.structs.replace(signed, payload=other))


def by_a_stranger() -> bytes:
    key = Ed25519PrivateKey.generate()
    return msgspec.json.encode(sign_command(command(key=key_id(key.public_key())), key))


def under_another_name() -> bytes:
    payload = msgspec.json.encode(command(key="0" * 16))
    signature = base64.b64encode(CENTRE.sign(payload)).decode()
    return msgspec.json.encode(
        SignedCommand(key=key_id(CENTRE.public_key()), payload=base64.b64encode(payload).decode(), signature=signature)
    )


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (tampered(), "bad_signature"),
        (by_a_stranger(), "unknown_key"),
        (under_another_name(), "unknown_key"),
        (b"{}", "malformed"),
        (b"\xff", "malformed"),
    ],
)
def test_nothing_in_an_unverified_command_is_believed(bench: Bench, sent: bytes, reason: str) -> None:
    give(bench, sent)
    assert waiting(bench) == []
    [(name, device, status, told)] = answers(bench)
    assert name.startswith("unverified:")
    assert (device, status, told) == ("", "refused", reason)


def test_commands_for_other_sites_are_passed_over(bench: Bench) -> None:
    give(bench, envelope(), None, b"rubbish", key="site-2")
    give(bench, None)
    assert (waiting(bench), answers(bench)) == ([], [])


def test_a_second_copy_is_no_second_command(bench: Bench) -> None:
    sent = envelope()
    give(bench, sent, sent)
    acknowledge(bench, "done")
    give(bench, sent)
    assert waiting(bench) == []
    assert answers(bench) == [("c1", "pump", "done", "")]
    assert bench.core.standing().commands["duplicate"] == 2


def test_answers_travel_up_once_each(bench: Bench) -> None:
    give(bench, envelope())
    for status in ("accepted", "accepted", "done", "done", "accepted"):
        acknowledge(bench, status)
    assert answers(bench) == [("c1", "pump", "accepted", ""), ("c1", "pump", "done", "")]
    assert waiting(bench) == []


@pytest.mark.parametrize(("device", "name"), [("fan", "c1"), ("pump", "c9"), ("pump", "")])
def test_answers_to_nothing_of_ours_are_counted(bench: Bench, device: str, name: str) -> None:
    give(bench, envelope())
    acknowledge(bench, "done", device=device, name=name)
    assert (waiting(bench), answers(bench)) == (["c1"], [])
    assert bench.core.standing().answers_rejected == {"unknown_command": 1}


def test_a_command_that_nobody_answers_expires(bench: Bench) -> None:
    give(bench, envelope(), envelope(command="c2", device="fan"))
    acknowledge(bench, "accepted")
    bench.flush(T0 + 59_999)
    assert waiting(bench) == ["c2", "c1"]
    bench.flush(T0 + 60_000)
    assert waiting(bench) == []
    assert answers(bench)[1:] == [("c2", "fan", "expired", ""), ("c1", "pump", "expired", "")]


def test_a_device_that_does_not_know_the_time_yet_is_told_again(bench: Bench) -> None:
    give(bench, envelope(), envelope(command="c2", device="fan"))
    for name, device in (("c1", "pump"), ("c1", "pump"), ("c2", "fan")):
        refuse(bench, "clock_unset", name=name, device=device)
    assert (waiting(bench), answers(bench)) == (["c2", "c1"], [])
    assert bench.core.standing().commands == {"taken": 2, "clock_unset": 2}
    acknowledge(bench, "done")
    bench.flush(T0 + 60_000)
    assert answers(bench) == [("c1", "pump", "done", ""), ("c2", "fan", "expired", "clock_unset")]


def test_other_refusals_are_final(bench: Bench) -> None:
    give(bench, envelope())
    refuse(bench, "downgrade")
    assert (waiting(bench), answers(bench)) == ([], [("c1", "pump", "refused", "downgrade")])


def test_counters_outlive_their_commands(bench: Bench) -> None:
    give(bench, envelope())
    acknowledge(bench, "done")
    month = 30 * 86_400_000
    give(bench, envelope(command="c2", counter=5, expires=T0 + 2 * month), now=T0 + month)
    assert answers(bench)[-1] == ("c2", "pump", "refused", "counter_reused")
    give(bench, envelope(expires=T0 + 2 * month), now=T0 + month)
    assert answers(bench)[-1] == ("c1", "pump", "refused", "counter_reused")


def test_what_changed_is_told_once_in_the_order_of_the_centre(bench: Bench) -> None:
    give(bench, envelope(command="c2"), envelope(command="c1", device="fan"))
    changes = bench.core.command_changes()
    assert ([one.command for one in changes.opened], changes.closed) == (["c2", "c1"], [])
    assert changes.opened == sorted(bench.core.unanswered(), key=lambda one: one.command, reverse=True)
    acknowledge(bench, "accepted", name="c2")
    assert bench.core.command_changes() == ([], [])
    acknowledge(bench, "done", name="c2")
    bench.flush(T0 + 60_000)
    assert bench.core.command_changes() == ([], ["c2", "c1"])


def test_answers_go_up_without_a_flush(bench: Bench) -> None:
    give(bench, envelope())
    payload = msgspec.json.encode({"command": "c1", "status": "done"})
    bench.take([Message(device_topic(SITE, "pump", "ack"), payload, retain=False)], T0)
    assert bench.core.commands_answered()
    bench.core.answer_commands()
    assert (answers(bench), waiting(bench)) == ([("c1", "pump", "done", "")], [])
    bench.restart()  # the block with the answer is worked up again
    bench.flush(T0 + 1000)
    assert answers(bench) == [("c1", "pump", "done", "")]


async def test_commands_are_verified_beside_and_stay_in_order(bench: Bench) -> None:
    sent = [envelope(command=f"c{number}", counter=10 + number) for number in range(100)]
    sent[50] = by_a_stranger()
    records = [Record(COMMANDS, 0, n, SITE.encode(), value, (), T0) for n, value in enumerate(sent)]
    others = [
        Record(COMMANDS, 0, 0, b"site-2", b"rubbish", (), T0),
        Record(COMMANDS, 0, 0, SITE.encode(), None, (), T0),
    ]
    verified = await verify(bench.core.desk, [*others, *records])
    assert [one.record for one in verified] == records
    assert [number for number, one in enumerate(verified) if not isinstance(one.content, Command)] == [50]
    assert await verify(bench.core.desk, others) == []
