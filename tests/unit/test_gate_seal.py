"""Verdicts are signed: what was changed, or signed by somebody else, is told."""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollouts.seal import Seal, signature_problem
from compose.cli.replay import replayed
from ingest.contract.commands import key_id
from ingest.contract.records import Record
from ingest.contract.topics import VERDICTS
from tests.gate_stage_world import World
from tests.gate_world import plan_of, plan_record

KEY = Ed25519PrivateKey.generate()
NAME = key_id(KEY.public_key())
KEYS = {NAME: KEY.public_key()}


def story(key: Ed25519PrivateKey | None = KEY) -> list[Record]:
    world = World()
    world.seal = Seal(key) if key else lambda outgoing: outgoing
    world.restart()
    installs = world.start()
    world.install(installs)
    world.crash(installs)
    written = [plan_record(plan_of()), *world.appended]
    return [Record(o.topic, 0, n, o.key, o.value, o.headers, 0) for n, o in enumerate(written)]


def test_every_verdict_is_signed_and_replays_say_by_whom() -> None:
    records = story()
    verdicts = [record for record in records if record.topic == VERDICTS]
    assert len(verdicts) >= 3
    assert [signature_problem(record, KEYS) for record in verdicts] == [""] * len(verdicts)
    assert not any(record.header("tidegate_key") for record in records if record.topic != VERDICTS)
    found = replayed("fw-2.3", records, KEYS)
    assert {(one.problem, one.key) for one in found} == {("", NAME)}


def test_a_changed_a_foreign_and_an_unsigned_verdict_are_told() -> None:
    record = next(record for record in story() if record.topic == VERDICTS)
    changed = msgspec.structs.replace(record, value=(record.value or b"").replace(b"inconclusive", b"pass"))
    assert signature_problem(changed, KEYS) == "its signature is not that of these bytes"
    torn = msgspec.structs.replace(record, headers=(("tidegate_key", NAME.encode()), ("tidegate_signature", b"?")))
    assert signature_problem(torn, KEYS) == "its signature is not that of these bytes"
    assert "unknown key" in signature_problem(record, {})
    foreign = replayed("fw-2.3", story(Ed25519PrivateKey.generate()), KEYS)
    assert all("unknown key" in one.problem for one in foreign)
    unsigned = replayed("fw-2.3", story(None), KEYS)
    assert {one.problem for one in unsigned} == {"it is not signed"}
    assert {one.problem for one in replayed("fw-2.3", story(None), {})} == {""}
