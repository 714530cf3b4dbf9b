"""Mender: the deployment is aborted, and a new one brings the previous artifact to the devices that were given the bad one.

Source: mendersoftware/mender-server, backend/services/deployments, management_api.yml and management_api_v2.yml. An abort alone leaves
finished devices on the bad artifact. Needs a token that may manage deployments. Version 1 finds deployments by words in their names,
page by page: they are looked up by version 2, and by version 1 where a server has no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from analytics.rollback.owners.owner import CONFLICT, CREATED, NO_CONTENT, NOT_FOUND, OK, Request, ask, field

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order

DEPLOYMENTS = "/api/management/v1/deployments/deployments"
BY_NAME = "/api/management/v2/deployments/deployments"
_NO_METHOD, _UNPROCESSABLE = 405, 422


class Mender:
    """`object`: deployment_id and artifact_name (the previous one's). Device names are Mender's device ids."""

    needs = ("deployment_id", "artifact_name")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Abort, look up, create: each unless it is done."""
        path = f"{DEPLOYMENTS}/{quote(order.object['deployment_id'], safe='')}"
        deployment = (yield from ask(Request(method="GET", path=path))).body
        if field(deployment, "status") != "finished":
            body = {"status": "aborted"}
            yield from ask(Request(method="PUT", path=f"{path}/status", body=body), NO_CONTENT, _UNPROCESSABLE)
        if (yield from self._exists(order.name)):
            return
        devices = [device.partition("/")[2] for device in order.devices]
        new = {
            "name": order.name,
            "artifact_name": order.object["artifact_name"],
            "devices": devices,
            "force_installation": True,
        }
        yield from ask(Request(method="POST", path=DEPLOYMENTS, body=new), CREATED, CONFLICT)

    def _exists(self, name: str) -> Generator[Request, Answer, bool]:
        asked = quote(name, safe="")
        found = yield from ask(Request(method="GET", path=f"{BY_NAME}?name={asked}"), OK, NOT_FOUND, _NO_METHOD)
        if found.status != OK:
            found = yield from ask(Request(method="GET", path=f"{DEPLOYMENTS}?search={asked}&per_page=500"))
        return any(field(one, "name") == name for one in found.body or [])
