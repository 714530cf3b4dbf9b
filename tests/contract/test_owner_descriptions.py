"""The descriptions by which stand-ins judge requests notice what is not in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from analytics.rollback.owners.drive import drive
from analytics.rollback.owners.owner import Answer, Request
from tests.owner_clusters import ArgoCdServer
from tests.owner_fleets import AwsServer, AzureServer, HawkBitServer, MenderServer
from tests.owner_server import Server

DESCRIBED = [HawkBitServer, MenderServer, AwsServer, AzureServer, ArgoCdServer]


@pytest.fixture(params=DESCRIBED, ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest) -> Server:
    return request.param()


async def sent(server: Server) -> list[Request]:
    """Every request of a way back; the stand-in has judged each."""

    async def send(request: Request) -> Answer:
        return server.handle(request)

    await drive(server.owner.go_back(server.order()), send)
    return server.log


def changed(request: Request, **changes: Any) -> Request:
    return msgspec.structs.replace(request, **changes)


async def test_another_address_method_or_query_is_noticed(server: Server) -> None:
    for request in await sent(server):
        path, mark, query = request.path.partition("?")
        assert server.mistakes(changed(request, path=f"{path}/more{mark}{query}"))
        assert server.mistakes(changed(request, method="DELETE"))
        assert server.mistakes(changed(request, path=f"{path}?{query}{'&' if query else ''}strange=1"))


async def test_a_property_that_is_strange_missing_or_of_another_type_is_noticed(server: Server) -> None:
    noticed = 0
    for request in [one for one in await sent(server) if one.body is not None]:
        assert server.mistakes(changed(request, body=request.body | {"strange": 1}))
        for name in request.body:
            wrong = {"a": 1} if not isinstance(request.body[name], dict) else "text"
            assert server.mistakes(changed(request, body=request.body | {name: wrong})), name
            less = {key: value for key, value in request.body.items() if key != name}
            noticed += bool(server.mistakes(changed(request, body=less)))
    # Argo CD's description requires nothing.
    assert noticed > 0 or isinstance(server, ArgoCdServer)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (HawkBitServer, {"name": "x" * 129}),
        (HawkBitServer, {"description": "x" * 513}),
        (HawkBitServer, {"weight": 1001}),
        (HawkBitServer, {"type": "gentle"}),
        (HawkBitServer, {"amountGroups": 0}),
        (HawkBitServer, {"successCondition": {"condition": "THRESHOLD", "expression": "all"}}),
        (MenderServer, {"devices": [7]}),
        (AzureServer, {"deploymentId": "Capitals"}),
        (AzureServer, {"startDateTime": "2026-01-01T00:00:00"}),
        (AzureServer, {"update": {"updateId": {"provider": "acme", "name": "fw"}}}),
        (ArgoCdServer, {"id": -1}),
    ],
)
async def test_a_value_beyond_its_bounds_is_noticed(kind: type[Server], change: dict[str, Any]) -> None:
    server = kind()
    creating = [one for one in await sent(server) if one.body and change.keys() <= one.body.keys()]
    assert creating
    for request in creating:
        assert server.mistakes(changed(request, body=request.body | change))
