"""The gate's process is killed (SIGKILL) at every request to a real Kubernetes API server, and starts anew: once, and not forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.rollback.orders import ORDERS
from ingest.contract.records import event_record
from tests.cluster_owned import KINDS, Owned, prepared
from tests.gate_nurse import GateNurse
from tests.kube_api import KubeApi
from tests.owner_front import ARRIVED, LOST, Deliveries, Front, folder_with
from tests.receivers import Answer, Request

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def nurse() -> Iterator[GateNurse]:
    found = GateNurse()
    yield found
    found.close()


@pytest.fixture(scope="module")
def namespace(kubernetes: KubeApi) -> str:
    prepared(kubernetes, "killed")
    return "killed"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_it_is_changed_once_whichever_request_is_the_last(
    kind: type[Owned], kubernetes: KubeApi, namespace: str, tmp_path: Path, nurse: GateNurse
) -> None:
    cases = [(1, LOST), *((number, ARRIVED) for number in range(1, len(kind.rights) + 1))]
    for number, (strike_at, arrived) in enumerate(cases):
        owned = kind(kubernetes, namespace)
        owned.until_allowed()
        order = owned.order()
        waiting = event_record(ORDERS, "fw", order, event_id=order.id, source="tidegate/gate", time=0)
        first = await folder_with(tmp_path / f"{number}", waiting, kubernetes.token(namespace, kind.account))
        front = Front(passing_on(kubernetes), nurse, strike_at, arrived=arrived)
        await Deliveries(first, nurse).in_two_lives(_settings(owned, first), front, owned.is_back)
        assert owned.is_back(), f"killed at request {strike_at}, arrived: {arrived}"


def _settings(owned: Owned, folder: Path) -> Callable[[str], dict[str, Any]]:
    owner = {"name": "cluster", "kind": owned.kind, "secret_file": str(folder / "secret")}
    return lambda url: {"owners": [owner | {"url": url}]}


def passing_on(api: KubeApi) -> Callable[[Request], Answer]:
    """What the API server answers to whom the request's own token names."""

    def handle(asked: Request) -> Answer:
        kept = {name: asked.headers[name] for name in ("authorization", "content-type") if name in asked.headers}
        found = api.client.request(asked.method, asked.path, content=asked.body, headers=kept)
        return Answer(found.status_code, {}, found.content)

    return handle
