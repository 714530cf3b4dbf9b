"""The door of every path: open only where it says so, else a token with the scope that it names."""

from typing import TYPE_CHECKING, Any

from litestar.types import Message
from litestar.types import Scope as AsgiScope

from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of
from dashboards.api.measures import API_DENIED, API_REQUESTS
from dashboards.api.problems import ProblemError

if TYPE_CHECKING:
    from dashboards.api.context import Context

OPEN = {"access": "open"}
CHALLENGE = 'Bearer realm="tidegate"'


def needs(scope: Scope) -> dict[str, Any]:
    """The options of a handler that is for bearers of this scope."""
    return {"access": scope}


async def authorise(request: ApiRequest) -> None:
    """Let the request in or raise ProblemError; a path that names no access lets nobody in.

    It runs before anything of the request is parsed.
    """
    access = request.route_handler.opt.get("access")
    if access == "open":
        return
    context = context_of(request)
    principal = context.tokens.principal(request.headers.get("authorization"))
    if principal is None:
        context.telemetry.count(API_DENIED, reason="token")
        error = ProblemError(401, "token-needed", "send a known token: Authorization: Bearer <token>")
        error.headers = {"WWW-Authenticate": CHALLENGE}
        raise error
    if access not in principal.scopes:
        context.telemetry.count(API_DENIED, reason="scope")
        raise ProblemError(403, "scope-needed", f"token {principal.name} lacks the scope {access}")
    request.scope["user"] = principal


_API_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_API_ONLY = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_TLS_ONLY = ((b"strict-transport-security", b"max-age=31536000"),)


async def protect(message: Message, scope: AsgiScope) -> None:
    """Put the security headers on every answer, errors included, and count it."""
    if message["type"] != "http.response.start":
        return
    headers = list(message["headers"])
    names = {name.lower() for name, _ in headers}
    headers += _API_HEADERS
    headers += [header for header in _API_ONLY if header[0] not in names]
    if scope["scheme"] == "https":
        headers += _TLS_ONLY
    message["headers"] = headers
    context: Context = scope["litestar_app"].state["context"]
    context.telemetry.count(API_REQUESTS, status=str(message["status"]))
