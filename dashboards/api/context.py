"""What every request handler works with."""

from dataclasses import dataclass
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Request
from litestar.datastructures import State

from dashboards.api.auth import Principal, Tokens
from dashboards.api.config import ApiConfig
from dashboards.api.hub import Hub
from dashboards.api.idempotency import IdempotencyStore
from dashboards.api.projection import Projection
from dashboards.api.rate import RateLimit
from dashboards.api.views import TenantView
from ingest.runtime.clock import Clock
from ingest.runtime.health import Health
from ingest.runtime.log.port import Log
from ingest.runtime.store.port import Store
from ingest.runtime.telemetry import Telemetry

ApiRequest = Request[Principal, None, State]
"""A request whose `user` is the bearer of its token (absent on open paths)."""


@dataclass
class Context:
    """The API's parts. `base_url` is how people reach it, `key` signs requests for raw samples."""

    config: ApiConfig
    clock: Clock
    log: Log
    store: Store
    health: Health
    telemetry: Telemetry
    projection: Projection
    hub: Hub
    tokens: Tokens
    rate: RateLimit
    idempotency: IdempotencyStore
    base_url: str = ""
    key: Ed25519PrivateKey | None = None


def context_of(request: ApiRequest) -> Context:
    """The application's parts."""
    return cast("Context", request.app.state["context"])


def view_of(request: ApiRequest) -> TenantView:
    """What is known of the tenant whose token was shown, and nothing else."""
    return context_of(request).projection.view(request.user.tenant)
