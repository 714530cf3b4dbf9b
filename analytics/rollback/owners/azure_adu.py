"""Azure Device Update: a deployment of the previous update to the group, which takes the bad one's place.

Source: Azure Device Update for IoT Hub REST API 2022-10-01, Device Management, Get and Create Or Update Deployment. Needs the role
Device Update Deployments Administrator. A group has one deployment at a time: the new one ends the old one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from analytics.rollback.owners.owner import NOT_FOUND, OK, Request, ask

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order

VERSION = "api-version=2022-10-01"


class AzureDeviceUpdate:
    """`object`: instance, group, provider and update (the name of the previous update; its version is the order's)."""

    needs = ("instance", "group", "provider", "update")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Create unless it is there."""
        instance, group = (quote(order.object[part], safe="") for part in ("instance", "group"))
        path = f"/deviceUpdate/{instance}/management/groups/{group}/deployments/{order.name}?{VERSION}"
        known = yield from ask(Request(method="GET", path=path), OK, NOT_FOUND)
        if known.status == OK:
            return
        update = {"provider": order.object["provider"], "name": order.object["update"], "version": order.version}
        body = {
            "deploymentId": order.name,
            "groupId": order.object["group"],
            "startDateTime": datetime.fromtimestamp(order.decided_at / 1000, UTC).isoformat(),
            "update": {"updateId": update},
        }
        yield from ask(Request(method="PUT", path=path, body=body))
