"""Every error as a problem (RFC 9457): what was found, what was expected, never a stack trace."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_500_INTERNAL_SERVER_ERROR, HTTP_503_SERVICE_UNAVAILABLE

from dashboards.api.plan_mistakes import Mistake
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.store.port import StoreUnavailableError

if TYPE_CHECKING:
    from litestar import Request

PROBLEM = "application/problem+json"
RETRY_S = "2"
_LOGGER = logging.getLogger("tidegate.api")


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as it is answered; `errors` names each mistake with its path."""

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    errors: list[Mistake] = []


class ProblemError(HTTPException):
    """Raise it to answer with a problem: `kind` names it in words-with-dashes."""

    def __init__(self, status: int, kind: str, detail: str, errors: list[Mistake] | None = None) -> None:
        super().__init__(detail=detail, status_code=status)
        self.kind, self.errors = kind, errors or []


def unknown(what: str, name: str) -> ProblemError:
    """404: there is no such thing, or it is another tenant's."""
    return ProblemError(404, f"unknown-{what}", f"no {what} {name[:200]!r} is known to this token's tenant")


def answer(request: Request[Any, Any, Any], problem: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    """The problem as a response."""
    body = msgspec.json.encode(msgspec.structs.replace(problem, instance=request.url.path[:500]))
    return Response(body, status_code=problem.status, media_type=PROBLEM, headers=headers)


def on_problem(request: Request[Any, Any, Any], error: ProblemError) -> Response[bytes]:
    """A problem that a handler raised."""
    problem = Problem(
        type=f"urn:tidegate:problem:{error.kind}",
        title=error.kind.replace("-", " ").capitalize(),
        status=error.status_code,
        detail=error.detail,
        errors=error.errors,
    )
    return answer(request, problem, dict(error.headers or {}))


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error that the framework raised: no such path, wrong method, bad parameters, too large."""
    if error.status_code >= HTTP_500_INTERNAL_SERVER_ERROR:
        return on_error(request, error)
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(error.status_code).phrase,
        status=error.status_code,
        detail=_detail(error),
        errors=_parameter_mistakes(error),
    )
    return answer(request, problem, dict(error.headers or {}))


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What nobody expected: the log has the trace, the answer has not."""
    _LOGGER.error("%s %s failed", request.method, request.url.path, exc_info=error)
    problem = Problem(
        type="about:blank",
        title="Internal Server Error",
        status=HTTP_500_INTERNAL_SERVER_ERROR,
        detail="an unexpected error; the server's log says more",
    )
    return answer(request, problem)


def on_away(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The log or the store does not answer: the same request may succeed soon."""
    _LOGGER.warning("%s %s: %s", request.method, request.url.path, error)
    part = "store" if isinstance(error, StoreUnavailableError) else "log"
    problem = Problem(
        type=f"urn:tidegate:problem:{part}-unavailable",
        title=f"{part.capitalize()} unavailable",
        status=HTTP_503_SERVICE_UNAVAILABLE,
        detail=f"the {part} does not answer; /readyz says why",
    )
    return answer(request, problem, {"Retry-After": RETRY_S})


HANDLERS: dict[type[Exception] | int, Any] = {
    ProblemError: on_problem,
    HTTPException: on_http_error,
    LogUnavailableError: on_away,
    StoreUnavailableError: on_away,
    Exception: on_error,
}


# Names that the framework keeps for itself go by another name inside.
_ASKED_AS = {"alert_state": "state", "device_state": "state", "text": "q", "expression": "query"}


def _detail(error: HTTPException) -> str:
    # The framework's own text for bad parameters repeats the whole URL: what is wrong stands in `errors`.
    return (
        "a parameter is not as expected" if error.status_code == HTTP_400_BAD_REQUEST and error.extra else error.detail
    )


def _parameter_mistakes(error: HTTPException) -> list[Mistake]:
    extra: Any = error.extra
    if not isinstance(extra, list):
        return []
    found = [(str(item.get("key", "")), str(item.get("message", ""))) for item in extra if isinstance(item, dict)]
    return [Mistake(_ASKED_AS.get(key, key), message) for key, message in found]
