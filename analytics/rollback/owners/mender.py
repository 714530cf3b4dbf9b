"""Mender: the deployment is aborted, and a new one brings the previous artifact to the devices that were given the bad one.

Source: mendersoftware/mender-server, backend/services/deployments, management_v1.yaml. An abort alone leaves finished devices
on the bad artifact. Needs a token that may manage deployments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from analytics.rollback.owners.owner import CONFLICT, CREATED, NO_CONTENT, Request, ask, field

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order

DEPLOYMENTS = "/api/management/v1/deployments/deployments"
_UNPROCESSABLE = 422


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
        found = (yield from ask(Request(method="GET", path=f"{DEPLOYMENTS}?search={quote(order.name, safe='')}"))).body
        if any(field(one, "name") == order.name for one in found or []):
            return
        devices = [device.partition("/")[2] for device in order.devices]
        new = {
            "name": order.name,
            "artifact_name": order.object["artifact_name"],
            "devices": devices,
            "force_installation": True,
        }
        yield from ask(Request(method="POST", path=DEPLOYMENTS, body=new), CREATED, CONFLICT)
