"""`GET /v1/gates/{rollout}`: whether this rollout may go on."""

import asyncio

from litestar import get
from litestar.params import FromPath, FromQuery

from dashboards.api.answers import Data
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.gates import GateData, gate_data
from dashboards.api.guards import needs
from dashboards.api.hub import Subscription
from dashboards.api.problems import ProblemError, unknown
from dashboards.api.rollouts import Rollout
from ingest.contract.events import Outcome

LONGEST_S = 60.0


@get("/v1/gates/{rollout:str}", opt=needs(Scope.GATES), tags=["gates"])
async def gate(request: ApiRequest, rollout: FromPath[str], wait: FromQuery[float] = 0.0) -> Data[GateData]:
    """The verdict and its numbers: always 200 for a known rollout, never a null field.

    `wait`: while it is inconclusive, up to so many seconds (at most 60) until it is decided.
    """
    known = view_of(request).rollouts.get(rollout)
    if known is None:
        raise unknown("rollout", rollout)
    if not 0.0 <= wait <= LONGEST_S:
        raise ProblemError(400, "bad-wait", f"wait: expected 0 to {LONGEST_S:g} seconds")
    if wait:
        await _until_decided(request, known, wait)
    return Data(gate_data(known, context_of(request).base_url))


async def _until_decided(request: ApiRequest, rollout: Rollout, wait_s: float) -> None:
    # One reader more that is told of changes; when there are too many, the answer is the present one.
    hub = context_of(request).hub
    subscription = Subscription(request.user.tenant, frozenset({"rollout"}))
    if not hub.subscribe(subscription):
        return
    deadline = asyncio.get_running_loop().time() + wait_s
    try:
        while not subscription.closed and gate_data(rollout, "").verdict is Outcome.INCONCLUSIVE:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0 or not await subscription.wait(left_s):
                return
            subscription.take(1_000_000)
    finally:
        hub.unsubscribe(subscription)
