"""Every route of the description: bad tokens open none, and no write reaches what is another tenant's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import msgspec
import pytest

from dashboards.api.app import document
from dashboards.api.auth import new_token
from dashboards.api.config import Scope, TokenConfig
from ingest.runtime.secrets import generate_private_key
from tests.api_centre import NO_TLS, Centre
from tests.api_filled import NORTH, SOUTH, fill
from tests.api_rollouts import plan_body
from tests.api_thread import PATIENCE_S, Reachable, api_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DESCRIBED = msgspec.json.decode(document())
ROUTES = [
    (method.upper(), path, operation.get("security") == [])
    for path, operations in DESCRIBED["paths"].items()
    for method, operation in operations.items()
]
EXPIRED, NARROW = new_token(), new_token()
HOOK = {"name": "x", "metadata": {"rollout": "theirs"}}
REASON = {"reason": "because"}
NONE_NAMED = None
"""It names nothing that could be another's."""


class Foreign(NamedTuple):
    """A write about what is another tenant's: what stands in the path and the body, and how it is refused."""

    named: str
    body: Any = REASON
    status: int = 404


WRITES: dict[str, Foreign | None] = {
    "POST /v1/rollouts": Foreign("", plan_body("theirs"), 409),
    "POST /v1/rollouts/{name}/end": Foreign("theirs"),
    "POST /v1/rollouts/{name}/pause": Foreign("theirs"),
    "POST /v1/rollouts/{name}/resume": Foreign("theirs"),
    "POST /v1/rollouts/{name}/approve": Foreign("theirs"),
    "POST /v1/rollouts/{name}/abort": Foreign("theirs"),
    "POST /v1/rollouts/{name}/override": Foreign("theirs"),
    "POST /v1/alerts/{fingerprint}/acknowledge": Foreign("f2", {}),
    "POST /v1/silences": NONE_NAMED,
    "POST /v1/silences/{name}/end": Foreign("s-theirs"),
    "POST /v1/maintenance": NONE_NAMED,
    "POST /v1/maintenance/{name}/end": Foreign("w-theirs"),
    "POST /v1/feedback": Foreign("", {"anomaly": "THEIRS", "reason": "because"}),
    "POST /v1/feedback/{name}/undo": Foreign("FEEDBACK"),
    "POST /v1/samples": Foreign("", {"site": "south", "start": 1, "end": 2}),
    "POST /v1/tokens": NONE_NAMED,
    "DELETE /v1/tokens/{name}": Foreign("their-token"),
    "POST /canary/{config}": Foreign("theirs", {}),
    "POST /judge": NONE_NAMED,
    "POST /api/v1/query": NONE_NAMED,
    "POST /flagger/confirm": Foreign("", HOOK, 403),
    "POST /flagger/rollback": Foreign("", HOOK, 403),
    "POST /flagger/event": NONE_NAMED,
}


class House(NamedTuple):
    """A running API, what bad tokens there are, and what the other tenant has."""

    client: httpx.Client
    tokens: dict[str, str]
    bad: dict[str, str]
    theirs: dict[str, str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("api")
    generate_private_key(folder / "api.pem")

    def build() -> Centre:
        options = {"tokens_file": str(folder / "tokens.json"), "signing_key_file": str(folder / "api.pem")}
        made = Centre(folder, [NORTH, SOUTH], **options)
        more = [
            TokenConfig(name="old", tenant="acme", sha256=EXPIRED.sha256, scopes=list(Scope), expires=1),
            TokenConfig(name="few", tenant="acme", sha256=NARROW.sha256, scopes=[Scope.METRICS]),
        ]
        made.config = msgspec.structs.replace(made.config, tokens=[*made.config.tokens, *more])
        made.api = made.build()
        return made

    with (
        api_thread(build, fill) as reachable,
        httpx.Client(base_url=reachable.url, timeout=PATIENCE_S, trust_env=False, verify=NO_TLS) as client,
    ):
        yield House(client, reachable.tokens, _bad_tokens(client, reachable), _theirs(client, reachable))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _bad_tokens(client: httpx.Client, reachable: Reachable) -> dict[str, str]:
    admin = _bearer(reachable.tokens["acme"])
    made = client.post("/v1/tokens", json={"name": "gone", "scopes": ["read"]}, headers=admin).json()["data"]["token"]
    assert client.delete("/v1/tokens/gone", headers=admin).status_code == 204
    return {
        "token-malformed": "Bearer",
        "token-unknown": f"Bearer {made}",
        "token-expired": f"Bearer {EXPIRED.token}",
    }


def _theirs(client: httpx.Client, reachable: Reachable) -> dict[str, str]:
    other = _bearer(reachable.tokens["other"])
    client.post("/v1/tokens", json={"name": "their-token", "scopes": ["read"]}, headers=other).raise_for_status()
    anomaly = _until(lambda: client.get("/v1/anomalies", headers=other).json()["data"])[0]["episode"]
    said = {"anomaly": anomaly, "reason": "because"}
    feedback = client.post("/v1/feedback", json=said, headers=other).json()["data"]["id"]
    _until(lambda: client.get("/v1/feedback", headers=other).json()["data"])
    return {"THEIRS": anomaly, "FEEDBACK": feedback}


def _until(look: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def _picture(house: House, tenant: str) -> list[Any]:
    """What writes could have changed."""
    paths = (
        "rollouts",
        "alerts",
        "silences?ended=true",
        "maintenance?ended=true",
        "feedback?undone=true",
        "tokens",
        "audit",
    )
    answers = [house.client.get(f"/v1/{path}", headers=_bearer(house.tokens[tenant])) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["data"] for answer in answers]


@pytest.mark.parametrize(("method", "path", "is_open"), ROUTES, ids=[f"{method} {path}" for method, path, _ in ROUTES])
def test_bad_tokens_open_nothing(house: House, method: str, path: str, *, is_open: bool) -> None:
    place = path.replace("{", "").replace("}", "")
    before = _picture(house, "acme") if method != "GET" else []
    if is_open:
        assert house.client.request(method, place).status_code == 200
        return
    for name, header in ({"token-needed": ""} | house.bad).items():
        headers = {"Authorization": header} if header else {}
        answer = house.client.request(method, place, headers=headers, content=b"{")
        told = answer.json()
        assert (answer.status_code, told["type"]) == (401, f"urn:tidegate:problem:{name}"), (name, told)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if path != "/metrics":
        answer = house.client.request(method, place, headers=_bearer(NARROW.token), content=b"{")
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:tidegate:problem:scope-needed")
    assert not before or _picture(house, "acme") == before, "nothing is done"


def test_the_list_of_writes_is_whole() -> None:
    assert set(WRITES) == {f"{method} {path}" for method, path, _ in ROUTES if method != "GET"}


@pytest.mark.parametrize("route", [route for route, foreign in WRITES.items() if foreign])
def test_no_write_reaches_what_is_another_tenants(house: House, route: str) -> None:
    foreign = WRITES[route]
    assert foreign is not None
    method, path = route.split(" ")
    for name in ("name", "fingerprint", "config"):
        path = path.replace(f"{{{name}}}", house.theirs.get(foreign.named, foreign.named))
    body = msgspec.json.encode(foreign.body)
    for name, real in house.theirs.items():
        body = body.replace(name.encode(), real.encode())
    before, mine = _picture(house, "other"), _picture(house, "acme")
    answer = house.client.request(method, path, content=body, headers=_bearer(house.tokens["acme"]))
    assert answer.status_code == foreign.status, answer.text
    assert "other-all" not in answer.text
    assert (_picture(house, "other"), _picture(house, "acme")) == (before, mine)
