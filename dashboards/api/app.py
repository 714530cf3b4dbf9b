"""The API as an application: paths, the door before them, errors as problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from dashboards.api.description import Description, described, only_the_description
from dashboards.api.feedback import FeedbackWriter
from dashboards.api.guards import OPEN, authorise, protect
from dashboards.api.maintenance import MaintenanceWriter
from dashboards.api.plan_writer import PlanWriter
from dashboards.api.problems import HANDLERS
from dashboards.api.pull_writer import PullWriter
from dashboards.api.representation import Representation
from dashboards.api.routes import (
    alert_routes,
    condition_routes,
    console_routes,
    event_routes,
    feedback_routes,
    flagger_routes,
    fleet_routes,
    gate_routes,
    health_routes,
    kayenta_routes,
    maintenance_routes,
    past_routes,
    prometheus_routes,
    pull_routes,
    rollout_routes,
    series_routes,
    token_routes,
)
from dashboards.api.silences import PeopleWriter

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from dashboards.api.context import Context

VERSION = "1"
MAX_BODY = 1_000_000

HANDLED: list[ControllerRouterHandler] = [
    gate_routes.gate,
    prometheus_routes.query_get,
    prometheus_routes.query_post,
    flagger_routes.confirm,
    flagger_routes.rollback,
    flagger_routes.event,
    kayenta_routes.judge_metrics,
    kayenta_routes.configs,
    kayenta_routes.start,
    kayenta_routes.result,
    rollout_routes.list_rollouts,
    rollout_routes.show_rollout,
    rollout_routes.create_rollout,
    rollout_routes.end_rollout,
    rollout_routes.pause_rollout,
    rollout_routes.resume_rollout,
    rollout_routes.approve_rollback,
    rollout_routes.abort_rollout,
    rollout_routes.override_gate,
    fleet_routes.fleet,
    fleet_routes.overview,
    fleet_routes.devices,
    fleet_routes.device,
    fleet_routes.sites,
    condition_routes.alerts,
    condition_routes.anomalies,
    alert_routes.rules,
    alert_routes.rule,
    alert_routes.alert,
    past_routes.history_of_alert,
    past_routes.alert_history,
    alert_routes.acknowledge,
    alert_routes.silences,
    alert_routes.silence,
    alert_routes.create_silence,
    alert_routes.end_silence,
    maintenance_routes.windows,
    maintenance_routes.window,
    maintenance_routes.create_window,
    maintenance_routes.end_window,
    past_routes.verdicts,
    past_routes.audit,
    past_routes.changes,
    past_routes.dead_letters,
    condition_routes.incidents,
    condition_routes.incident,
    condition_routes.ledger,
    feedback_routes.list_feedback,
    feedback_routes.say,
    feedback_routes.undo,
    series_routes.series,
    pull_routes.ask,
    pull_routes.show,
    pull_routes.chunk,
    event_routes.events,
    token_routes.tokens,
    token_routes.create_token,
    token_routes.revoke_token,
    health_routes.healthz,
    health_routes.readyz,
    health_routes.metrics,
    console_routes.index,
    console_routes.asset,
]


def build_app(context: Context) -> Litestar:
    """The application over these parts."""
    plans = PlanWriter(context.log, context.projection, context.hub, context.telemetry)
    pulls = PullWriter(context.key, log=context.log, clock=context.clock, telemetry=context.telemetry)
    feedback = FeedbackWriter(context.log, context.projection, context.telemetry)
    people = PeopleWriter(context.log, context.projection, context.telemetry)
    maintenance = MaintenanceWriter(context.log, context.projection, context.telemetry)
    return Litestar(
        route_handlers=HANDLED,
        state=State(
            {
                "context": context,
                "plans": plans,
                "pulls": pulls,
                "feedback": feedback,
                "people": people,
                "maintenance": maintenance,
            }
        ),
        before_request=authorise,
        before_send=[protect],
        exception_handlers=HANDLERS,
        middleware=[Representation],
        cors_config=_cors(context.config.cors_origins),
        openapi_config=_openapi(),
        request_max_body_size=MAX_BODY,
        logging_config=None,
        debug=False,
    )


def _cors(origins: list[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "If-None-Match",
            "Last-Event-ID",
        ],
        expose_headers=["ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "Idempotent-Replayed"],
    )


def _openapi() -> OpenAPIConfig:
    bearer = SecurityScheme(type="http", scheme="bearer", description="A token with the scope that the path needs.")
    return OpenAPIConfig(
        title="tidegate",
        version=VERSION,
        description="Gate queries, rollouts, fleet, alerts, the ledger and raw samples of a fleet.",
        components=Components(security_schemes={"token": bearer}),
        security=[{"token": []}],
        use_handler_docstrings=True,
        render_plugins=[Description(path="/")],
        openapi_router=Router(
            path="/schema", route_handlers=[], opt=OPEN, include_in_schema=False, before_request=only_the_description
        ),
    )


def document() -> bytes:
    """The description of the whole API (OpenAPI 3.1, JSON) as `/schema` gives it, indented."""
    described_app = Litestar(route_handlers=HANDLED, openapi_config=_openapi(), logging_config=None)
    return (
        msgspec.json.format(
            msgspec.json.encode(described(described_app.openapi_schema.to_schema()), order="sorted"), indent=1
        )
        + b"\n"
    )
