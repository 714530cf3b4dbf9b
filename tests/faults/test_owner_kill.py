"""The gate's process is killed (SIGKILL) at every single request to every owner, and starts anew: once, and not forgotten."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.rollback.actuator import Decision, Purpose, Target
from analytics.rollback.orders import ORDERS
from analytics.rollback.webhook import RollbackWebhook
from ingest.contract.records import event_record
from tests.gate_nurse import GateNurse
from tests.owner_front import ARRIVED, LOST, Deliveries, Front, folder_with, kind_of, standing_in
from tests.owner_server import Server
from tests.owner_servers import SERVERS
from tests.receivers import Answer, Request

T0 = 1_700_000_000_000


@pytest.fixture(scope="module")
def nurse() -> Iterator[GateNurse]:
    found = GateNurse()
    yield found
    found.close()


@pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.__name__)
async def test_an_owner_goes_back_once_whichever_request_is_the_last(
    kind: type[Server], tmp_path: Path, nurse: GateNurse
) -> None:
    first = await folder_with(tmp_path / "first", order_record(kind()))
    deliveries = Deliveries(first, nurse)

    def settings(url: str) -> dict[str, Any]:
        owner = {"name": "owner", "kind": kind_of(kind()), "url": url, "secret_file": str(first / "secret")}
        return {"owners": [owner]}

    calm = kind()
    requests = await deliveries.in_one_life(settings, standing_in(calm), calm.is_back)
    # A request that is lost finds the owner as the end after the one before left it: only the first can be lost anew.
    for number, arrived in [(1, LOST), *((number, ARRIVED) for number in range(1, requests + 1))]:
        server = kind()
        front = Front(standing_in(server), nurse, number, arrived=arrived)
        await deliveries.in_two_lives(settings, front, server.is_back)
        assert server.is_back(), f"killed at request {number} of {requests}, arrived: {arrived}"
    sys.stdout.write(f"killed before the first and after each of {requests} requests\n")


def order_record(server: Server) -> Any:
    order = server.order()
    return event_record(ORDERS, order.rollout, order, event_id=f"{order.id}:0", source="tidegate/gate", time=T0)


@pytest.mark.parametrize("arrived", [LOST, ARRIVED], ids=["lost", "arrived"])
async def test_a_webhook_is_called_with_one_key_and_one_body(
    tmp_path: Path, nurse: GateNurse, *, arrived: bool
) -> None:
    decision = Decision(
        rollout="fw",
        tenant="acme",
        purpose=Purpose.ROLLBACK,
        version="2.2.0",
        digest="sha256:aa",
        decided_at=T0,
        expiry_s=60.0,
        targets=[Target("s", "d0"), Target("s", "d1")],
    )
    (waiting,) = RollbackWebhook().carry_out(decision, T0, None)
    first = await folder_with(tmp_path / "first", waiting)
    calls: list[tuple[str, bytes]] = []

    def take(asked: Request) -> Answer:
        calls.append((asked.headers["idempotency-key"], asked.body))
        return Answer(204)

    def settings(url: str) -> dict[str, Any]:
        return {"webhook": {"url": url, "secret_file": str(first / "secret")}}

    await Deliveries(first, nurse).in_two_lives(settings, Front(take, nurse, 1, arrived=arrived), lambda: bool(calls))
    assert len(calls) == (2 if arrived else 1)
    assert len(set(calls)) == 1
