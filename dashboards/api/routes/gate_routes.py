"""`GET /v1/gates/{rollout}`: whether this rollout may go on."""

from litestar import get
from litestar.params import FromPath

from dashboards.api.answers import Data
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.gates import GateData, gate_data
from dashboards.api.guards import needs
from dashboards.api.problems import unknown


@get("/v1/gates/{rollout:str}", opt=needs(Scope.GATES), tags=["gates"], sync_to_thread=False)
def gate(request: ApiRequest, rollout: FromPath[str]) -> Data[GateData]:
    """The verdict and its numbers: always 200 for a known rollout, never a null field."""
    known = view_of(request).rollouts.get(rollout)
    if known is None:
        raise unknown("rollout", rollout)
    return Data(gate_data(known, context_of(request).base_url))
