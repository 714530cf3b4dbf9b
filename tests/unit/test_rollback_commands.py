"""Signed commands: counters that never fall, names that never change, bytes that devices accept."""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from analytics.rollback.actuator import Decision, Purpose, Target
from analytics.rollback.mqtt_commands import MqttCommands
from ingest.contract.bundle import BUNDLE_HEADER, MOST_TOGETHER, Bundles
from ingest.contract.commands import Command, key_id
from tests.gate_world import T0, commands_in

KEY = Ed25519PrivateKey.generate()
steps = st.lists(
    st.tuples(st.integers(-5000, 5000), st.sampled_from(["a", "b"]), st.booleans()), min_size=1, max_size=12
)


def decision(number: int, device: str) -> Decision:
    return Decision(
        rollout=f"fw-{number}",
        tenant="acme",
        purpose=Purpose.INSTALL,
        version="2",
        digest="sha256:aa",
        decided_at=T0,
        expiry_s=60.0,
        targets=[Target("s", device)],
    )


@given(steps)
def test_a_devices_counter_rises_whatever_the_clock_does_and_however_often_the_process_restarts(
    moves: list[tuple[int, str, bool]],
) -> None:
    actuator, now, issued = MqttCommands(KEY), T0, list[Command]()
    for number, (step, device, restarts) in enumerate(moves):
        now += step
        issued += commands_in(actuator.carry_out(decision(number, device), now, None), KEY)
        if restarts:
            state, actuator = actuator.snapshot(), MqttCommands(KEY)
            actuator.restore(state)
    for device in ("a", "b"):
        counters = [command.counter for command in issued if command.device == device]
        assert counters == sorted(set(counters))


def test_after_the_state_was_lost_counters_go_on_above_all_that_was_ever_signed() -> None:
    actuator = MqttCommands(KEY)
    before = [commands_in(actuator.carry_out(decision(n, "a"), T0 + n, None), KEY)[0] for n in range(50)]
    fresh = MqttCommands(KEY)
    after = commands_in(fresh.carry_out(decision(99, "a"), T0 + 1000, None), KEY)[0]
    assert after.counter > max(command.counter for command in before)


def test_a_forgotten_rollouts_counters_are_remembered() -> None:
    actuator = MqttCommands(KEY)
    first = commands_in(actuator.carry_out(decision(1, "a"), T0 + 1000, None), KEY)[0]
    actuator.forget("fw-1")
    second = commands_in(actuator.carry_out(decision(2, "a"), T0, None), KEY)[0]
    assert second.counter > first.counter


def test_commands_of_a_site_are_vouched_for_together_and_stay_in_their_order() -> None:
    targets = [Target("s", f"d{n}") for n in range(MOST_TOGETHER + 6)] + [Target("t", "d0"), Target("u", "d0")]
    targets.insert(3, Target("t", "d1"))
    due = msgspec.structs.replace(decision(1, "a"), targets=targets)
    records = MqttCommands(KEY).carry_out(due, T0, None)
    assert [(one.site, one.device) for one in commands_in(records, KEY)] == [(t.site, t.device) for t in targets]
    proofs = [dict(record.headers).get(BUNDLE_HEADER) for record in records]
    assert [proof is not None for proof in proofs] == [target.site == "s" for target in targets]
    public = KEY.public_key()
    bundles = Bundles({key_id(public): public})
    assert all(
        bundles.vouches(key_id(public), record.value or b"", proof)
        for record, proof in zip(records, proofs, strict=True)
        if proof
    )
