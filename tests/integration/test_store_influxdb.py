"""The InfluxDB store when something is wrong: what is waited out, what is refused, and what heals by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from msgspec.structs import replace

from ingest.runtime.store.config import StoreConfig
from ingest.runtime.store.influx import InfluxStore
from ingest.runtime.store.port import SeriesQuery, StoreRefusedError, StoreTotals, StoreUnavailableError
from tests.rollup_batches import ORIGIN, T0, Row, all_rows, make_batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from compose.stack.endpoints import InfluxEndpoint
    from tests.servers import RunningServer

pytestmark = pytest.mark.servers

DAY_S = 86_400
MakeStore = "Callable[..., InfluxStore]"


def admin(endpoint: InfluxEndpoint, method: str, path: str, **content: object) -> httpx.Response:
    headers = {"Authorization": f"Token {endpoint.token}"}
    answer = httpx.request(method, f"{endpoint.url}/api/v2/{path}", headers=headers, trust_env=False, **content)  # type: ignore[arg-type]  # handed on as they are
    assert answer.is_success, answer.text
    return answer


def make_bucket(endpoint: InfluxEndpoint, name: str, keep_s: int = 0) -> str:
    org = admin(endpoint, "GET", f"orgs?org={endpoint.org}").json()["orgs"][0]["id"]
    rules = [{"type": "expire", "everySeconds": keep_s}] if keep_s else []
    wanted = {"name": name, "orgID": org, "retentionRules": rules}
    return str(admin(endpoint, "POST", "buckets", json=wanted).json()["id"])


@pytest.fixture
def config(influxdb: RunningServer[InfluxEndpoint], tmp_path: Path) -> StoreConfig:
    endpoint = influxdb.endpoint
    return StoreConfig(
        kind="influxdb",
        url=endpoint.url,
        org=endpoint.org,
        bucket=endpoint.bucket,
        tenant=ORIGIN.tenant,
        token_file=token_file(tmp_path, endpoint.token),
    )


def token_file(folder: Path, token: str) -> str:
    path = folder / "token"
    path.touch(0o600)
    path.write_text(token)
    return str(path)


@pytest.fixture
async def make_store(config: StoreConfig) -> AsyncIterator[Callable[..., InfluxStore]]:
    made: list[InfluxStore] = []

    def make(**changes: object) -> InfluxStore:
        made.append(InfluxStore(replace(config, **changes)))
        return made[-1]

    yield make
    for store in made:
        await store.close()


async def write(store: InfluxStore, *rows: Row, tenant: str = ORIGIN.tenant) -> None:
    batch = make_batch(rows or [Row()], origin=ORIGIN._replace(tenant=tenant, site="refusals"))
    await store.write(batch, all_rows(batch))


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("bucket", "nowhere", "404.*bucket.*create the bucket"),
        ("org", "nobody", "404.*check org and bucket"),
        ("url", "http://127.0.0.1:9", "127.0.0.1:9"),
        ("token_file", "/nowhere/token", "/nowhere/token: cannot be read"),
    ],
)
async def test_what_is_misconfigured_is_waited_out(
    make_store: Callable[..., InfluxStore], setting: str, value: str, reason: str
) -> None:
    store = make_store(**{setting: value})
    with pytest.raises(StoreUnavailableError, match=reason):
        await store.check()
    with pytest.raises(StoreUnavailableError, match=reason):
        await write(store)


async def test_a_token_that_was_wrong_is_read_again(
    make_store: Callable[..., InfluxStore], influxdb: RunningServer[InfluxEndpoint], tmp_path: Path
) -> None:
    path = token_file(tmp_path, "wrong")
    store = make_store(token_file=path)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=r"401.*check token_file"):
            await store.check()
    token_file(tmp_path, influxdb.endpoint.token)
    await store.check()


async def test_a_token_for_reading_only_is_no_token_for_writing(
    make_store: Callable[..., InfluxStore], influxdb: RunningServer[InfluxEndpoint], tmp_path: Path
) -> None:
    endpoint = influxdb.endpoint
    org = admin(endpoint, "GET", f"orgs?org={endpoint.org}").json()["orgs"][0]["id"]
    wanted = {"orgID": org, "permissions": [{"action": "read", "resource": {"type": "buckets", "orgID": org}}]}
    reader = admin(endpoint, "POST", "authorizations", json=wanted).json()["token"]
    store = make_store(token_file=token_file(tmp_path, reader))
    with pytest.raises(StoreUnavailableError, match="may not do this"):
        await store.check()
    await store.totals(ORIGIN.tenant)


async def test_a_type_conflict_is_refused(
    make_store: Callable[..., InfluxStore], influxdb: RunningServer[InfluxEndpoint]
) -> None:
    endpoint = influxdb.endpoint
    make_bucket(endpoint, "conflict")
    path = f"write?org={endpoint.org}&bucket=conflict&precision=ms"
    admin(endpoint, "POST", path, content=f"rollups,site=x count=1.5 {T0}")
    store = make_store(bucket="conflict")
    with pytest.raises(StoreRefusedError, match=r"422.*field type conflict"):
        await write(store)


async def test_points_beyond_retention_are_refused(
    make_store: Callable[..., InfluxStore], influxdb: RunningServer[InfluxEndpoint]
) -> None:
    make_bucket(influxdb.endpoint, "short", keep_s=DAY_S)
    with pytest.raises(StoreRefusedError, match=r"422.*retention"):
        await write(make_store(bucket="short"), Row(start=T0 - 3650 * DAY_S * 1000))


async def test_times_that_no_store_holds_are_refused(make_store: Callable[..., InfluxStore]) -> None:
    with pytest.raises(StoreRefusedError, match="400"):
        await write(make_store(), Row(start=1 << 52))


async def test_each_tenant_has_its_own_bucket(
    make_store: Callable[..., InfluxStore], influxdb: RunningServer[InfluxEndpoint]
) -> None:
    for tenant in ("red", "blue"):
        make_bucket(influxdb.endpoint, f"of-{tenant}")
    store = make_store(bucket="of-{tenant}", tenant="")
    await store.check()
    await write(store, Row(), tenant="red")
    assert await store.totals("red") == StoreTotals(1, 3)
    assert await store.totals("blue") == StoreTotals(0, 0)
    assert await store.read(SeriesQuery(tenant="blue")) == []
    with pytest.raises(StoreUnavailableError, match="of-green"):
        await write(store, tenant="green")


async def test_a_bucket_of_one_tenant_takes_nobody_elses_data(make_store: Callable[..., InfluxStore]) -> None:
    with pytest.raises(StoreRefusedError, match="is for tenant acme, not rival"):
        await write(make_store(), tenant="rival")


async def test_a_server_that_was_away_is_used_again(
    make_store: Callable[..., InfluxStore], influxdb: RunningServer[InfluxEndpoint]
) -> None:
    store = make_store()
    await write(store)
    await asyncio.to_thread(influxdb.stop)
    with pytest.raises(StoreUnavailableError):
        await write(store)
    await asyncio.to_thread(influxdb.start)
    await write(store)
    await store.check()


async def test_plain_bodies_are_taken_as_well_as_zipped_ones(make_store: Callable[..., InfluxStore]) -> None:
    store = make_store(gzip=False)
    await write(store, Row(device="plain"))
    (series,) = await store.read(SeriesQuery(tenant=ORIGIN.tenant, device="plain"))
    assert series.count.tolist() == [3]
