"""The API's OpenAPI description: what the framework finds, with the bodies that are read by hand and the real errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import JsonRenderPlugin

from dashboards.api.feedback import NewFeedback
from dashboards.api.kayenta import JudgeRequest
from dashboards.api.maintenance import NewMaintenance
from dashboards.api.plans import NewRollout
from dashboards.api.problems import PROBLEM, Problem
from dashboards.api.pull_writer import NewPull
from dashboards.api.routes.flagger_routes import Hook
from dashboards.api.routes.kayenta_routes import CanaryRequest
from dashboards.api.routes.rollout_routes import Reason
from dashboards.api.routes.token_routes import NewTokenRequest
from dashboards.api.silences import NewAcknowledgement, NewSilence

if TYPE_CHECKING:
    from litestar import Request

_SCHEMAS = "#/components/schemas/"
_JSON_BODIES: dict[str, type[msgspec.Struct]] = {
    "/v1/rollouts": NewRollout,
    "/v1/rollouts/{name}/pause": Reason,
    "/v1/rollouts/{name}/resume": Reason,
    "/v1/rollouts/{name}/approve": Reason,
    "/v1/rollouts/{name}/abort": Reason,
    "/v1/rollouts/{name}/override": Reason,
    "/v1/samples": NewPull,
    "/v1/feedback": NewFeedback,
    "/v1/silences": NewSilence,
    "/v1/maintenance": NewMaintenance,
    "/v1/tokens": NewTokenRequest,
    "/v1/alerts/{fingerprint}/acknowledge": NewAcknowledgement,
    "/v1/feedback/{name}/undo": Reason,
    "/flagger/confirm": Hook,
    "/flagger/rollback": Hook,
    "/flagger/event": Hook,
    "/judge": JudgeRequest,
    "/canary/{config}": CanaryRequest,
}
_PROMETHEUS = {
    "type": "object",
    "properties": {
        "status": {"enum": ["success", "error"]},
        "data": {
            "type": "object",
            "properties": {"resultType": {"const": "vector"}, "result": {"type": "array", "items": {"type": "object"}}},
            "required": ["resultType", "result"],
        },
        "errorType": {"type": "string"},
        "error": {"type": "string"},
    },
    "required": ["status"],
}
_ALIVE = {"type": "object", "properties": {"alive": {"const": True}}, "required": ["alive"]}
_READY = {
    "type": "object",
    "properties": {
        "ready": {"type": "boolean"},
        "reasons": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["ready"],
}
_TEXT = {"type": "string"}
_GATE = {"$ref": _SCHEMAS + "GateData"}
_ANSWERS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "/healthz": {"200": ("application/json", _ALIVE)},
    "/readyz": {"200": ("application/json", _READY), "503": ("application/json", _READY)},
    "/metrics": {"200": ("text/plain", _TEXT)},
    "/v1/events": {"200": ("text/event-stream", _TEXT)},
    "/api/v1/query": {"200": ("application/json", _PROMETHEUS), "400": ("application/json", _PROMETHEUS)},
    "/flagger/confirm": {"403": ("application/json", _GATE)},
    "/flagger/rollback": {"403": ("application/json", _GATE)},
}
"""Bodies of answers that are written by hand; where a status has a problem, too, either may come."""
_OPEN = ("/healthz", "/readyz")
_QUERY_FORM = {"type": "object", "properties": {"query": {"type": "string"}, "time": {"type": "string"}}}


class Description(JsonRenderPlugin):
    """Serves the description as JSON."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The whole description."""
        return super().render(request, described(openapi_schema))


async def only_the_description(request: Request[Any, Any, Any]) -> None:
    """The framework would answer other paths below its own with a page in HTML."""
    if request.path_params:
        raise NotFoundException


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy of the framework's description with request bodies and problems added."""
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    kinds = [Problem, *set(_JSON_BODIES.values())]
    _, components = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS + "{name}")
    whole["components"]["schemas"].update(components)
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            _describe(path, method, operation)
    return whole


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    kept = {status: answer for status, answer in operation["responses"].items() if not status.startswith("4")}
    operation["responses"] = kept | {"default": {"description": "A problem (RFC 9457)", "content": _problem()}}
    if path in _OPEN:
        operation["security"] = []
    for status, (content_type, schema) in _ANSWERS.get(path, {}).items():
        before = kept.get(status, {"description": HTTPStatus(int(status)).phrase})
        content = {content_type: {"schema": schema}} | (_problem() if status.startswith("4") else {})
        operation["responses"][status] = before | {"content": content}
    if method == "post" and path in _JSON_BODIES:
        operation["requestBody"] = _body("application/json", {"$ref": _SCHEMAS + _JSON_BODIES[path].__name__})
    if method == "post" and path == "/api/v1/query":
        operation["requestBody"] = _body("application/x-www-form-urlencoded", _QUERY_FORM)


def _body(content_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {content_type: {"schema": schema}}}


def _problem() -> dict[str, Any]:
    return {PROBLEM: {"schema": {"$ref": _SCHEMAS + "Problem"}}}
