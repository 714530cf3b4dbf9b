"""What the owners' published API descriptions have, in our words: operations, parameters, bodies; a request is held against them.

A description may allow more than this; a request of ours that is not here is a mistake of ours. Objects are closed: a property that
the description does not name is a mistake, too, although most servers would pass over it.

Sources: eclipse-hawkbit/hawkbit, MgmtRolloutRestApi and MgmtRolloutRestRequestBodyPost; mendersoftware/mender-server, deployments'
management_api.yml and management_api_v2.yml; Azure/azure-rest-api-specs, deviceupdate.json 2022-10-01; argoproj/argo-cd,
assets/swagger.json 3.1.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analytics.rollback.owners.owner import Request

Schema = dict[str, Any]
"""The part of JSON Schema that is needed: type, properties, required, items, enum, pattern, maxLength, minimum, maximum, format."""

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
}
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
DIGITS: Schema = {"type": "string", "pattern": r"\d+"}


class Operation(NamedTuple):
    """One method on one path; `path` has {parameters}, each of which is a segment. A body that is None must not be sent."""

    method: str
    path: str
    query: dict[str, Schema] = {}  # noqa: RUF012 - never changed
    required: tuple[str, ...] = ()
    body: Schema | None = None
    parameters: dict[str, Schema] = {}  # noqa: RUF012 - never changed

    def values(self, path: str) -> dict[str, str] | None:
        """The path's parameters; None when it is another path."""
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self.path))
        found = re.fullmatch(pattern, path)
        return {name: unquote(text) for name, text in found.groupdict().items()} if found else None


def obj(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def either(*values: str) -> Schema:
    return {"type": "string", "enum": values}


def mistakes(operations: list[Operation], request: Request) -> list[str]:
    """What is wrong with a request; empty when the description has it."""
    parts = urlsplit(request.path)
    known = [
        (operation, operation.values(parts.path)) for operation in operations if operation.method == request.method
    ]
    fitting = [(operation, values) for operation, values in known if values is not None]
    if not fitting:
        return [f"no operation {request.method} {parts.path}"]
    operation, values = fitting[0]
    return list(_of_operation(operation, values, parse_qs(parts.query, keep_blank_values=True), request))


def _of_operation(
    operation: Operation, values: dict[str, str], query: dict[str, list[str]], request: Request
) -> Iterator[str]:
    for name, text in values.items():
        yield from _of_value(operation.parameters.get(name, TEXT), text, name)
    for name, texts in query.items():
        if name not in operation.query:
            yield f"no query parameter {name}"
        for text in texts:
            yield from _of_value(operation.query.get(name, {}), text, f"?{name}")
    yield from (f"?{name} is missing" for name in operation.required if name not in query)
    if operation.body is None:
        yield from ["a body, where there is none"] if request.body is not None else []
        return
    if request.content_type != "application/json":
        yield f"content type {request.content_type}"
    yield from _of_value(operation.body, request.body, "body")


def _of_value(schema: Schema, value: Any, where: str) -> Iterator[str]:
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        yield f"{where} is {value!r}, expected {kind}"
        return
    for name, wrong in _LIMITS.items():
        if name in schema and wrong(schema[name], value):
            yield f"{where} is {value!r}, against {name} {schema[name]!r}"
    if kind == "object":
        yield from (f"{where}.{name} is missing" for name in schema["required"] if name not in value)
        for name, inner in value.items():
            if name not in schema["properties"]:
                yield f"{where}.{name} is not described"
            yield from _of_value(schema["properties"].get(name, {}), inner, f"{where}.{name}")
    for number, inner in enumerate(value if kind == "array" else ()):
        yield from _of_value(schema["items"], inner, f"{where}[{number}]")


_LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "enum": lambda allowed, value: value not in allowed,
    "pattern": lambda pattern, value: not re.fullmatch(pattern, value),
    "maxLength": lambda most, value: len(value) > most,
    "minimum": lambda least, value: value < least,
    "maximum": lambda most, value: value > most,
    "format": lambda _, value: datetime.fromisoformat(value).tzinfo is None,
}

_CONDITION = obj(("condition",), condition=either("THRESHOLD"), expression={"type": "string", "pattern": r"\d{1,3}"})
_ROLLOUT = {"rollout": {"type": "string", "pattern": r"\d+"}}
HAWKBIT = [
    Operation(
        "GET",
        "/rest/v1/rollouts",
        {"q": TEXT, "offset": DIGITS, "limit": DIGITS, "sort": TEXT, "representation": either("compact", "full")},
    ),
    Operation(
        "POST",
        "/rest/v1/rollouts",
        body=obj(
            ("name", "targetFilterQuery", "distributionSetId"),
            name={"type": "string", "maxLength": 128, "pattern": r"\S.*"},
            description={"type": "string", "maxLength": 512},
            targetFilterQuery=TEXT,
            distributionSetId=NUMBER,
            amountGroups={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
            type=either("soft", "forced", "timeforced", "downloadonly"),
            weight={"type": "integer", "minimum": 0, "maximum": 1000},
            forcetime=NUMBER,
            startAt=NUMBER,
            confirmationRequired=FLAG,
            successCondition=_CONDITION,
            successAction=obj((), action=either("NEXTGROUP", "PAUSE"), expression=TEXT),
            errorCondition=_CONDITION,
            errorAction=obj((), action=either("PAUSE"), expression=TEXT),
        ),
    ),
    Operation("GET", "/rest/v1/rollouts/{rollout}", parameters=_ROLLOUT),
    *(
        Operation("POST", f"/rest/v1/rollouts/{{rollout}}/{verb}", parameters=_ROLLOUT)
        for verb in ("start", "pause", "stop", "resume")
    ),
]

_V1, _V2 = (f"/api/management/{version}/deployments/deployments" for version in ("v1", "v2"))
_PAGES = {
    "status": either("inprogress", "finished", "pending"),
    "type": either("software", "configuration"),
    "page": DIGITS,
    "per_page": DIGITS,
    "created_before": DIGITS,
    "created_after": DIGITS,
    "sort": either("asc", "desc"),
}
MENDER_V1 = [
    Operation("GET", _V1, {"search": TEXT, **_PAGES}),
    Operation(
        "POST",
        _V1,
        body=obj(
            ("name", "artifact_name"),
            name=TEXT,
            artifact_name=TEXT,
            devices={"type": "array", "items": TEXT},
            all_devices=FLAG,
            force_installation=FLAG,
        ),
    ),
    Operation("GET", f"{_V1}/{{id}}"),
    Operation("PUT", f"{_V1}/{{id}}/status", body=obj(("status",), status=either("aborted"))),
]
MENDER = [*MENDER_V1, Operation("GET", _V2, {"id": TEXT, "name": TEXT, **_PAGES})]

_VERSION = {"api-version": either("2022-10-01")}
_DEPLOYMENT = "/deviceUpdate/{instance}/management/groups/{group}/deployments/{deployment}"
# At most 73 characters, no capitals, none of these.
_DEPLOYMENT_ID = {"type": "string", "maxLength": 73, "pattern": r'[^A-Z&^\[\]{}|<>/\\"]+'}
_UPDATE_ID = obj(("provider", "name", "version"), provider=TEXT, name=TEXT, version=TEXT)
AZURE = [
    Operation("GET", _DEPLOYMENT, _VERSION, ("api-version",), parameters={"deployment": _DEPLOYMENT_ID}),
    Operation(
        "PUT",
        _DEPLOYMENT,
        _VERSION,
        ("api-version",),
        body=obj(
            ("deploymentId", "startDateTime", "update", "groupId"),
            deploymentId=_DEPLOYMENT_ID,
            startDateTime={"type": "string", "format": "date-time"},
            update=obj(("updateId",), updateId=_UPDATE_ID),
            groupId=TEXT,
            rollbackPolicy=obj(("update", "failure"), update={}, failure={}),
        ),
        parameters={"deployment": _DEPLOYMENT_ID},
    ),
]

_APPLICATION = "/api/v1/applications/{name}"
ARGO_CD = [
    Operation(
        "GET",
        _APPLICATION,
        dict.fromkeys(("refresh", "projects", "resourceVersion", "selector", "repo", "appNamespace", "project"), TEXT),
    ),
    Operation(
        "PATCH",
        _APPLICATION,
        body=obj((), appNamespace=TEXT, name=TEXT, patch=TEXT, patchType=TEXT, project=TEXT),
    ),
    Operation(
        "POST",
        f"{_APPLICATION}/rollback",
        body=obj((), appNamespace=TEXT, dryRun=FLAG, id=NUMBER, name=TEXT, project=TEXT, prune=FLAG),
    ),
]
