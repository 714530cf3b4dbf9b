"""hawkBit: the running rollout is stopped, and a new one brings the previous distribution set to who has the bad one.

Source: eclipse-hawkbit/hawkbit, MgmtRolloutRestApi. Needs the permissions READ_ROLLOUT, HANDLE_ROLLOUT, CREATE_ROLLOUT and
READ_TARGET. `stop` is newer than `pause`: where it is unknown the rollout is paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from analytics.rollback.owners.owner import (
    CREATED,
    NO_CONTENT,
    NOT_FOUND,
    OK,
    PassingError,
    RefusedError,
    Request,
    ask,
    field,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from analytics.rollback.owners.owner import Answer, Order

ROLLOUTS = "/rest/v1/rollouts"
MOVING = frozenset({"starting", "running"})
RESTING = frozenset({"running", "starting", "finished", "stopping", "stopped"})
MOST_WORDS = 512
"""Characters of a description."""

_DONE = (OK, NO_CONTENT)


class HawkBit:
    """`object`: rollout_id, bad_ds and previous_ds (ids of the distribution sets)."""

    needs = ("rollout_id", "bad_ds", "previous_ds")

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """Stop, create, start: each unless it is done."""
        for name in self.needs:
            if not order.object[name].isdigit():
                raise RefusedError(f"{name} is {order.object[name]!r}, expected a number")
        yield from self._stop(f"{ROLLOUTS}/{order.object['rollout_id']}")
        name = quote(f"name=={order.name}", safe="")
        found = (yield from ask(Request(method="GET", path=f"{ROLLOUTS}?q={name}&limit=1"))).body
        ours = field(found, "content", 0)
        if ours is None:
            ours = (yield from ask(Request(method="POST", path=ROLLOUTS, body=_rollout(order)), OK, CREATED)).body
        yield from self._start(f"{ROLLOUTS}/{int(ours['id'])}", str(field(ours, "status", default="creating")))

    def _stop(self, path: str) -> Generator[Request, Answer, None]:
        status = field((yield from ask(Request(method="GET", path=path))).body, "status")
        if status not in MOVING:
            return
        answer = yield from ask(Request(method="POST", path=f"{path}/stop"), *_DONE, NOT_FOUND, 405)
        if answer.status not in _DONE:
            yield from ask(Request(method="POST", path=f"{path}/pause"), *_DONE)

    def _start(self, path: str, status: str) -> Generator[Request, Answer, None]:
        if status == "creating":
            status = str(field((yield from ask(Request(method="GET", path=path))).body, "status"))
        if status == "ready":
            yield from ask(Request(method="POST", path=f"{path}/start"), *_DONE)
        elif status not in RESTING:
            raise PassingError(f"{path} is {status}, not ready to start")


def _rollout(order: Order) -> dict[str, object]:
    return {
        "name": order.name,
        "description": order.reason[:MOST_WORDS],
        "distributionSetId": int(order.object["previous_ds"]),
        "targetFilterQuery": f"installedds.id=={order.object['bad_ds']} or assignedds.id=={order.object['bad_ds']}",
        "amountGroups": 1,
        "type": "forced",
        "weight": 1000,
        "successCondition": {"condition": "THRESHOLD", "expression": "100"},
        "errorCondition": {"condition": "THRESHOLD", "expression": "80"},
        "errorAction": {"action": "PAUSE"},
    }
