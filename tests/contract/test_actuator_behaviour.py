"""What every actuator does, whatever it acts on: one suite over all of them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analytics.rollback.actuator import Actuator, Decision, Purpose, Target
from analytics.rollback.mqtt_commands import MqttCommands
from analytics.rollback.orders import ORDERS, OwnerOrders
from analytics.rollback.owners.owner import Order
from analytics.rollback.webhook import CALLS, RollbackWebhook
from ingest.contract.events import ActuatorRef
from ingest.contract.records import Outgoing
from ingest.contract.topics import COMMANDS
from ingest.runtime.checkpoint import Checkpoint
from tests.gate_world import T0, commands_in

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Way(ABC):
    """One way to act: how it is made, and whom it reached by what it appended."""

    topic: str

    @abstractmethod
    def make(self) -> Actuator: ...

    @abstractmethod
    def reached(self, outgoing: list[Outgoing]) -> list[tuple[str, str]]:
        """The devices (as `site/device`) with the version that each is to have, in order."""


class Mqtt(Way):
    topic = COMMANDS
    key = Ed25519PrivateKey.generate()

    def make(self) -> Actuator:
        return MqttCommands(self.key)

    def reached(self, outgoing: list[Outgoing]) -> list[tuple[str, str]]:
        return [(f"{c.site}/{c.device}", c.version) for c in commands_in(outgoing, self.key)]


class Webhook(Way):
    topic = CALLS

    def make(self) -> Actuator:
        return RollbackWebhook()

    def reached(self, outgoing: list[Outgoing]) -> list[tuple[str, str]]:
        bodies = [json.loads(o.value or b"") for o in outgoing]
        return [(device, body["version"]) for body in bodies for device in body["devices"]]


class Owners(Way):
    topic = ORDERS

    def make(self) -> Actuator:
        return OwnerOrders()

    def reached(self, outgoing: list[Outgoing]) -> list[tuple[str, str]]:
        orders = [msgspec.json.decode(o.value or b"", type=Order) for o in outgoing]
        assert [(order.actuator, order.object) for order in orders] == [("cluster", {"name": "web"})]
        return [(device, order.version) for order in orders for device in order.devices]


@pytest.fixture(params=[Mqtt, Webhook, Owners], ids=["mqtt", "webhook", "owners"])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param()


def decision(rollout: str = "fw", devices: tuple[str, ...] = ("c", "a", "b")) -> Decision:
    return Decision(
        rollout=rollout,
        tenant="acme",
        purpose=Purpose.ROLLBACK,
        version="2.2.0",
        digest="sha256:aa",
        decided_at=T0,
        expiry_s=60.0,
        targets=[Target("s", device) for device in devices],
        reason="gate failed: crash",
        owners=[ActuatorRef(actuator="cluster", object={"name": "web"})],
    )


def test_every_target_is_reached_in_the_decisions_order(way: Way) -> None:
    outgoing = way.make().carry_out(decision(), T0, TRACE)
    assert {o.topic for o in outgoing} == {way.topic}
    assert way.reached(outgoing) == [("s/c", "2.2.0"), ("s/a", "2.2.0"), ("s/b", "2.2.0")]


def test_the_same_decision_again_asks_for_nothing(way: Way) -> None:
    actuator = way.make()
    actuator.carry_out(decision(), T0, TRACE)
    assert actuator.carry_out(decision(), T0 + 5000, TRACE) == []


def test_nor_does_it_after_a_restart(way: Way) -> None:
    actuator = way.make()
    actuator.carry_out(decision(), T0, TRACE)
    restarted = way.make()
    restarted.restore(actuator.snapshot())
    assert restarted.carry_out(decision(), T0 + 5000, TRACE) == []


def test_another_decision_is_another_matter(way: Way) -> None:
    actuator = way.make()
    actuator.carry_out(decision(), T0, TRACE)
    assert len(way.reached(actuator.carry_out(decision("other"), T0, TRACE))) == 3


def test_names_of_what_is_asked_for_are_the_same_wherever_they_are_derived(way: Way) -> None:
    names = [[dict(o.headers)["ce_id"] for o in way.make().carry_out(decision(), T0 + n, TRACE)] for n in (0, 77)]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


def test_the_trace_goes_on(way: Way) -> None:
    outgoing = way.make().carry_out(decision(), T0, TRACE)
    assert {dict(o.headers)["traceparent"] for o in outgoing} == {TRACE.encode()}
    assert "traceparent" not in dict(way.make().carry_out(decision(), T0, None)[0].headers)


def test_a_forgotten_rollout_may_be_decided_anew(way: Way) -> None:
    actuator = way.make()
    actuator.carry_out(decision(), T0, TRACE)
    actuator.forget("fw")
    actuator.forget("unknown")
    assert len(way.reached(actuator.carry_out(decision(), T0 + 1, TRACE))) == 3


@pytest.mark.parametrize(
    "crash", ["before the transaction", "after the transaction", "between appending and noting it"]
)
def test_a_crash_between_any_two_steps_reaches_everybody_and_with_the_same_bytes(
    way: Way, crash: str, tmp_path: Path
) -> None:
    path = tmp_path / "gate.db"
    log: list[Outgoing] = []

    def live(*, stop: str = "") -> None:
        """One life of a process that is to carry the decision out; it ends at `stop`."""
        checkpoint, actuator = Checkpoint(path), way.make()
        state = checkpoint.load().get("actuator")
        if state:
            actuator.restore(state)
        asked = actuator.carry_out(decision(), T0 + len(log), TRACE)
        if stop != "before the transaction":
            checkpoint.save({"actuator": actuator.snapshot()}, {}, asked)
            unsent = checkpoint.unsent()
            if stop != "after the transaction" and unsent.records:
                log.extend(unsent.records)
                if stop != "between appending and noting it":
                    checkpoint.sent(unsent.up_to)
        checkpoint.close()

    live(stop=crash)
    live()
    live()
    different = {(o.value, o.headers): o for o in log}
    assert len(way.reached(list(different.values()))) == 3
