"""The API over HTTP: who is let in, what errors look like, how answers are paged, described, compressed and encrypted."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dashboards.api.app import HANDLED
from dashboards.api.config import ApiConfigError, Scope, TokenConfig
from tests.api_centre import Centre, new_token, running, until
from tests.api_filled import NORTH, SOUTH
from tests.api_records import NOW
from tests.api_rollouts import plan_record
from tests.mqtt_tls import certificates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


def guarded_paths() -> list[tuple[str, str, str]]:
    """Method, path and scope of everything that is not open; the stream would never end."""
    found = []
    for handler in HANDLED:
        (method,), (path,), access = handler.http_methods - {"OPTIONS"}, handler.paths, handler.opt["access"]
        if access != "open" and path != "/v1/events":
            found.append((method, re.sub(r"{\w+:str}", "x", path), access))
    return found


async def test_nobody_gets_in_without_a_token_and_nobody_beyond_their_scopes(tmp_path: Path) -> None:
    scopes: dict[Scope, str] = {}
    configs = []
    for scope in Scope:
        fresh = new_token()
        scopes[scope] = fresh.token
        configs.append(TokenConfig(name=scope.name.lower(), tenant="acme", sha256=fresh.sha256, scopes=[scope]))
    async with running(Centre(tmp_path, [NORTH], tokens=configs)) as centre:
        async with centre.client(None) as client:
            for method, path, access in guarded_paths():
                denied = await client.request(method, path)
                assert (denied.status_code, denied.headers["www-authenticate"]) == (401, 'Bearer realm="tidegate"'), (
                    path
                )
                for wrong in ("Bearer nonsense", "Bearer", "Basic x", "bearer " + "x" * 5000):
                    answer = await client.request(method, path, headers={"Authorization": wrong})
                    assert answer.status_code == 401
                for scope, token in scopes.items():
                    answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"})
                    assert (answer.status_code == 403 and "lacks the scope" in answer.text) == (scope != access), path
        async with centre.client(token=scopes[Scope.METRICS]) as client:
            metrics = (await client.get("/metrics")).text
        denied_count = next(line for line in metrics.splitlines() if 'denied_total{reason="token"}' in line)
        assert float(denied_count.split()[-1]) > 50


async def test_reasons_are_for_bearers_and_for_this_machine(centre: Centre) -> None:
    async with centre.client(None) as client:

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(ready, "readiness")
        centre.health.waiting("store", "host store-7 refuses")
        assert (await client.get("/healthz")).status_code == 200
        local = await client.get("/readyz")
        assert (local.status_code, local.json()["reasons"]) == (503, {"store": "host store-7 refuses"})
        proxied = await client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (proxied.status_code, proxied.json()) == (503, {"ready": False})
    async with centre.client() as client:
        told = await client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"})
        assert told.json()["reasons"] == {"store": "host store-7 refuses"}


async def test_every_error_is_a_problem_and_carries_the_security_headers(centre: Centre, caplog: Any) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret internals")

    async with centre.client() as client:
        cases = [
            (404, await client.get("/nope")),
            (404, await client.get("/schema/nope")),
            (404, await client.get("/v1/gates/unknown")),
            (405, await client.delete("/v1/gates/x")),
            (400, await client.get("/v1/devices?limit=0")),
            (400, await client.get("/v1/alerts?state=angry")),
            (400, await client.get("/v1/devices?cursor=%00%ff")),
            (400, await client.get("/v1/series")),
            (400, await client.get("/v1/events?kinds=gossip")),
            (400, await client.post("/v1/rollouts", content=b"{")),
            (422, await client.post("/v1/rollouts", json={"rollout": 5})),
            (413, await client.post("/v1/rollouts", content=b"x" * 2_000_000)),
            (400, await client.post("/flagger/confirm", content=b'{"x":' + b"[" * 9000)),
        ]
        centre.store.read = broken  # type: ignore[method-assign]
        cases.append((500, await client.get("/v1/series?device=x")))
    for status, answer in cases:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["instance"]) == (status, answer.request.url.path)
        assert problem["title"]
        assert problem["type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"
        assert "Traceback" not in answer.text
        assert "secret internals" not in answer.text
    assert "secret internals" in caplog.text, "the log has what the answer must not have"
    assert cases[3][1].headers["allow"].startswith("GET")
    assert cases[5][1].json()["errors"][0]["path"] == "state"


async def test_pages_follow_one_another(centre: Centre) -> None:
    await centre.put(*(NORTH.device(f"pump-{index:02d}") for index in range(25)))
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 25)
    found: list[str] = []
    cursor = ""
    async with centre.client() as client:
        while True:
            page = (await client.get("/v1/devices", params={"limit": 10, "cursor": cursor, "q": "PUMP"})).json()
            found += [device["device"] for device in page["data"]]
            if not (cursor := page["next"]):
                break
    assert found == [f"pump-{index:02d}" for index in range(25)]


async def test_rollouts_are_paged_newest_first(centre: Centre) -> None:
    await centre.put(*(plan_record(f"fw-{index}", created=NOW + index // 2) for index in range(7)))
    await centre.eventually("/v1/rollouts", lambda answer: len(answer["data"]) == 7)
    async with centre.client() as client:
        first = (await client.get("/v1/rollouts?limit=4")).json()
        rest = (await client.get("/v1/rollouts", params={"limit": 4, "cursor": first["next"]})).json()
    names = [item["rollout"] for item in first["data"] + rest["data"]]
    assert names == ["fw-6", "fw-4", "fw-5", "fw-2", "fw-3", "fw-0", "fw-1"]
    assert rest["next"] == ""


async def test_the_description_names_every_path_its_bodies_and_the_problems(centre: Centre) -> None:
    async with centre.client(None) as client:
        answer = await client.get("/schema")
    schema = answer.json()
    assert schema["openapi"].startswith("3.1")
    described = {path.replace(":str", "") for handler in HANDLED for path in handler.paths if handler.include_in_schema}
    assert set(schema["paths"]) == described
    body = schema["paths"]["/v1/rollouts"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/NewRollout"}
    assert "canary_share" in schema["components"]["schemas"]["NewRollout"]["properties"]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


async def test_large_answers_are_compressed_where_that_is_taken(centre: Centre) -> None:
    async with centre.client(None) as client:
        assert (await client.get("/schema", headers={"Accept-Encoding": "gzip"})).headers["content-encoding"] == "gzip"
        plain = await client.get("/schema", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers


async def test_tls_is_served_beyond_loopback_and_demanded_there(tmp_path: Path) -> None:
    files = certificates(tmp_path)
    (tmp_path / "server.key").chmod(0o600)
    with pytest.raises(ApiConfigError, match="set tls_certificate and tls_key"):
        Centre(tmp_path, [NORTH], host="0.0.0.0")  # noqa: S104 - what must be refused
    centre = Centre(
        tmp_path,
        [NORTH],
        host="0.0.0.0",  # noqa: S104 - with TLS it may
        tls_certificate=files.server_cert,
        tls_key=files.server_key,
    )
    async with running(centre):
        port = httpx.URL(centre.api.address).port
        trusted = ssl.create_default_context(cafile=files.ca)
        async with httpx.AsyncClient(verify=trusted, trust_env=False, timeout=60.0) as client:
            answer = await client.get(f"https://127.0.0.1:{port}/healthz")
        assert (answer.status_code, answer.headers["strict-transport-security"]) == (200, "max-age=31536000")


async def test_the_page_is_served_whole_and_strict(centre: Centre) -> None:
    async with centre.client(None) as client:
        page = await client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for name in ("console.css", "main.js", "icon.svg"):
            file = await client.get(f"/console/{name}")
            assert file.status_code == 200
            assert name in page.text
            cached = await client.get(f"/console/{name}", headers={"If-None-Match": file.headers["etag"]})
            assert (cached.status_code, cached.content) == (304, b"")
        for path in (
            "/console/nothing.js",
            "/console/__init__.py",
            "/console/..%2Fapi%2Fapp.py",
            "/console/../api/app.py",
        ):
            assert (await client.get(path)).status_code == 404
