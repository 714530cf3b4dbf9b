"""AWS IoT Jobs against moto's server: the way back by our own signed requests, its end as boto3 sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import msgspec
import pytest
from moto.server import ThreadedMotoServer

from analytics.rollback.attempts import OrderAttempt, Tried
from analytics.rollback.credentials import Auth
from analytics.rollback.orders import ORDERS
from analytics.rollback.owners.owner import Order
from analytics.rollouts.config import OwnerConfig
from ingest.contract.records import Record
from ingest.runtime.clock import SystemClock
from tests.rollback_orders import order_of

REGION = "eu-west-1"
T0 = 1_700_000_000_000

# Its dependencies still name calls that newer Pythons deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def iot(address: str) -> Any:
    httpx.post(f"{address}/moto-api/reset", trust_env=False, timeout=60.0)
    return boto3.client(
        "iot", region_name=REGION, endpoint_url=address, aws_access_key_id="AKIA", aws_secret_access_key="secret"
    )


def roll_out(iot: Any, things: int) -> Order:
    """A job of the bad release for so many things, and the order to go back."""
    arns = [iot.create_thing(thingName=f"d{n}")["thingArn"] for n in range(things)]
    iot.create_job(jobId="fw-bad", targets=arns[:100], document='{"version": "2.3.0"}')
    job = {
        "job_id": "fw-bad",
        "document_source": "https://s3.eu-west-1.amazonaws.com/firmware/2.2.0.json",
        "arn_prefix": arns[0].removesuffix("d0"),
    }
    return order_of(job, "aws", things)


async def tried(address: str, order: Order, **changes: Any) -> Tried:
    config = OwnerConfig(
        **(
            {"name": "aws", "kind": "aws-iot", "url": address, "auth": Auth.AWS, "region": REGION, "secret_file": "x"}
            | changes
        )
    )
    attempt = OrderAttempt([config], lambda _: "AKIA:secret", SystemClock())
    record = Record(ORDERS, 0, 0, b"fw", msgspec.json.encode(order), (), T0)
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:
        return await attempt(client, record)


def jobs(iot: Any) -> dict[str, dict[str, Any]]:
    names = [job["jobId"] for job in iot.list_jobs()["jobs"]]
    return {name: iot.describe_job(jobId=name)["job"] for name in names}


async def test_the_bad_job_is_cancelled_and_the_previous_release_goes_to_every_thing_once(
    address: str, iot: Any
) -> None:
    order = roll_out(iot, 130)
    for _ in range(2):
        assert await tried(address, order) == Tried()
        found = jobs(iot)
        assert found.pop("fw-bad")["status"] in {"CANCELED", "CANCELLED"}
        targets = [arn for name in sorted(found) for arn in found[name]["targets"]]
        assert sorted(targets) == sorted(order.object["arn_prefix"] + f"d{n}" for n in range(130))
        assert set(found) == {f"{order.name}-0", f"{order.name}-1"}


async def test_a_dry_run_only_looks(address: str, iot: Any) -> None:
    order = roll_out(iot, 3)
    before = jobs(iot)
    assert await tried(address, order, dry_run=True) == Tried()
    assert jobs(iot).keys() == before.keys()
    assert jobs(iot)["fw-bad"]["status"] == before["fw-bad"]["status"]


async def test_a_job_that_is_not_there_is_for_people(address: str, iot: Any) -> None:
    order = roll_out(iot, 1)
    gone = msgspec.structs.replace(order, object=order.object | {"job_id": "nobody"})
    found = await tried(address, gone)
    assert found.is_final
    assert "404" in found.problem
