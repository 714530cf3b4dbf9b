"""A request to AWS IoT, held against the service's published model, which botocore carries."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
from botocore.validate import ParamValidator

from tests.owner_apis import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.rollback.owners.owner import Request

NAMES = ("DescribeJob", "CancelJob", "CreateJob")


def aws_mistakes(request: Request) -> list[str]:
    """What is wrong; empty when nothing is."""
    parts = urlsplit(request.path)
    for name, http in _aws_operations():
        operation = Operation(http["method"], http["requestUri"])
        values = operation.values(parts.path) if operation.method == request.method else None
        if values is not None:
            return list(_of_aws(name, values, parts.query, request.body or {}))
    return [f"no operation {request.method} {parts.path}"]


def _of_aws(name: str, values: dict[str, str], query: str, body: dict[str, Any]) -> Iterator[str]:
    shape = _aws().operation_model(name).input_shape
    places = {member.serialization.get("name", key): key for key, member in shape.members.items()}
    given: dict[str, Any] = {places[place]: text for place, text in values.items()}
    for place, texts in parse_qs(query).items():
        if place not in places:
            yield f"no query parameter {place}"
            continue
        flag = shape.members[places[place]].type_name == "boolean"
        given[places[place]] = (texts[0] == "true") if flag else texts[0]
    report = ParamValidator().validate(given | body, shape)
    if report.has_errors():
        yield report.generate_report()


@functools.cache
def _aws() -> Any:
    return botocore.session.get_session().get_service_model("iot")


@functools.cache
def _aws_operations() -> list[tuple[str, dict[str, str]]]:
    return [(name, _aws().operation_model(name).http) for name in NAMES]
