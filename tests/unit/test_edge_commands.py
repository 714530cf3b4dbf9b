"""Commands: only what the centre signed for this site goes down, once; every refusal and every answer goes up."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.commands.publisher import Publisher
from edge_aggregator.commands.table import Known
from edge_aggregator.receive.port import Message
from ingest.contract.commands import Command, SignedCommand, key_id, sign_command
from ingest.contract.events import AckEvent
from ingest.contract.records import Record, read_event
from ingest.contract.topics import ACKS, COMMANDS, dead, device_topic
from ingest.runtime.clock import ManualClock
from tests.edge_bench import SITE, T0, Bench, edge_config, telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CENTRE = Ed25519PrivateKey.generate()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(edge_config(tmp_path, heartbeat_s=3600.0), {key_id(CENTRE.public_key()): CENTRE.public_key()})
    bench.take([telemetry(device, {"ts": T0, "metrics": {"t": 1}}) for device in ("pump", "fan")], T0)
    bench.flush(T0)
    bench.core.sent(bench.waiting())
    yield bench
    bench.close()


def command(**changes: Any) -> Command:
    settings: dict[str, Any] = {
        "command": "c1",
        "kind": "install",
        "tenant": "acme",
        "site": SITE,
        "device": "pump",
        "rollout": "r1",
        "key": key_id(CENTRE.public_key()),
        "counter": 5,
        "issued": T0,
        "expires": T0 + 60_000,
        "version": "2.0",
        "digest": "sha256:00",
    }
    return Command(**(settings | changes))


def envelope(**changes: Any) -> bytes:
    return msgspec.json.encode(sign_command(command(**changes), CENTRE))


def give(bench: Bench, *envelopes: bytes | None, key: str = SITE, now: int = T0) -> None:
    headers = (("traceparent", TRACE.encode()),)
    bench.core.take_commands(
        [Record(COMMANDS, 0, n, key.encode(), e, headers, now) for n, e in enumerate(envelopes)], now
    )


def answers(bench: Bench) -> list[tuple[str, str, str, str]]:
    """What has gone up: command, device, status, reason."""
    found = []
    for waiting in bench.waiting():
        record = waiting.record
        if record.topic == ACKS:
            event = read_event(Record(ACKS, 0, 0, record.key, record.value, record.headers, 0), AckEvent)
            assert event is not None
            assert (event.tenant, event.site, event.gateway) == ("acme", SITE, "gw-1")
            assert dict(record.headers)["traceparent"] == TRACE.encode()
            found.append((event.command, event.device, event.status.value, event.reason))
    return found


def acknowledge(bench: Bench, status: str, *, device: str = "pump", name: str = "c1", at: int = T0 + 1000) -> None:
    payload = msgspec.json.encode({"command": name, "status": status, "firmware": "2.0", "reason": ""})
    bench.take([Message(device_topic(SITE, device, "ack"), payload, retain=False)], at)
    bench.flush(at)


def waiting(bench: Bench) -> list[str]:
    return [known.command for known in bench.core.unanswered()]


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


def test_counters_outlive_their_commands(bench: Bench) -> None:
    give(bench, envelope())
    acknowledge(bench, "done")
    month = 30 * 86_400_000
    give(bench, envelope(command="c2", counter=5, expires=T0 + 2 * month), now=T0 + month)
    assert answers(bench)[-1] == ("c2", "pump", "refused", "counter_reused")
    give(bench, envelope(expires=T0 + 2 * month), now=T0 + month)
    assert answers(bench)[-1] == ("c1", "pump", "refused", "counter_reused")


class Downlink:
    """Remembers what was published, answers as told."""

    def __init__(self, *, answer: bool) -> None:
        self.answer = answer
        self.published: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        self.published.append((topic, payload))
        return self.answer


def known(command: str, device: str, counter: int) -> Known:
    return Known(
        command=command,
        device=device,
        counter=counter,
        expires=T0,
        envelope=command.encode(),
        trace="",
        status="waiting",
    )


@pytest.mark.parametrize(("answer", "most_s"), [(True, 60.0), (False, 10.0)])
async def test_commands_are_published_again_with_growing_pauses(*, answer: bool, most_s: float) -> None:
    clock, downlink = ManualClock(), Downlink(answer=answer)
    publisher = Publisher(None, None, downlink, SITE, clock=clock, retry_s=1.0)  # type: ignore[arg-type]  # the pure part
    times = []
    for _ in range(4000):
        for due in publisher._due([known("c1", "pump", 1)]):
            await publisher._publish(due)
            times.append(clock.monotonic())
        clock.advance(0.25)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert 10 < len(times) < 500
    assert max(pauses) <= most_s + 0.25
    assert max(pauses) > most_s / 3
    assert downlink.published[0] == (device_topic(SITE, "pump", "command"), b"c1")


async def test_one_command_of_a_device_at_a_time_the_oldest_first() -> None:
    clock, downlink = ManualClock(), Downlink(answer=True)
    publisher = Publisher(None, None, downlink, SITE, clock=clock, retry_s=1.0)  # type: ignore[arg-type]  # the pure part
    commands = [known("f1", "fan", 1), known("p1", "pump", 1), known("p2", "pump", 2)]
    due = publisher._due(commands)
    assert [command.command for command in due] == ["f1", "p1"]
    assert publisher._due(commands) == []
    for command in due:
        await publisher._publish(command)
    assert [command.command for command in publisher._due(commands)] == ["p2"]
