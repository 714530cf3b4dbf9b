"""/healthz, /readyz and /metrics of the API's own process."""

from litestar import Response, get

from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.fleet_metrics import TenantRegistry
from dashboards.api.guards import OPEN, needs
from ingest.runtime.addresses import is_loopback
from ingest.runtime.observe import Answer, exposition, liveness, readiness

_FORWARDED = ("forwarded", "x-forwarded-for", "via")


@get("/healthz", opt=OPEN, tags=["health"], sync_to_thread=False)
def healthz() -> Response[bytes]:
    """200 while the process answers."""
    return _response(liveness())


@get("/readyz", opt=OPEN, tags=["health"], sync_to_thread=False)
def readyz(request: ApiRequest) -> Response[bytes]:
    """200 or 503; the reasons are for bearers of a token and for who asks from this machine itself."""
    context = context_of(request)
    known = context.tokens.principal(request.headers.get("authorization")) is not None
    return _response(readiness(context.health, with_reasons=known or _is_local(request)))


@get("/metrics", opt=needs(Scope.METRICS), tags=["health"], sync_to_thread=False)
def metrics(request: ApiRequest) -> Response[bytes]:
    """The process's metrics and the fleet of the token's tenant, as Prometheus text or OpenMetrics."""
    context = context_of(request)
    whole = TenantRegistry(context.telemetry.registry, view_of(request), context.clock.now_ms())
    return _response(exposition(whole, request.headers.get("accept", "")))


def _is_local(request: ApiRequest) -> bool:
    # Behind a proxy on this machine everybody's address is loopback: then the proxy's headers give it away.
    forwarded = any(name in request.headers for name in _FORWARDED)
    return request.client is not None and is_loopback(request.client.host) and not forwarded


def _response(answer: Answer) -> Response[bytes]:
    return Response(answer.body, status_code=answer.status, headers={"Content-Type": answer.content_type})
