"""The door of every path: open only where it says so, else a token with the scope that it names."""

from typing import Any

from litestar import Response
from litestar.types import Message
from litestar.types import Scope as AsgiScope

from dashboards.api.auth import Principal, Refusal
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, Context, context_of
from dashboards.api.idempotency import Answered
from dashboards.api.measures import API_DENIED, API_REQUESTS
from dashboards.api.problems import ProblemError

OPEN = {"access": "open"}
CHALLENGE = 'Bearer realm="tidegate"'
INVALID = f'{CHALLENGE}, error="invalid_token"'
_REFUSALS = {
    Refusal.NONE: "send a known token: Authorization: Bearer <token>",
    Refusal.MALFORMED: "the Authorization header is not `Bearer TOKEN`, nor `Basic` with the token as password",
    Refusal.UNKNOWN: "the token is not known here: it was mistyped, revoked, or belongs to another system",
    Refusal.EXPIRED: "the token has expired: make a new one",
}


def needs(scope: Scope) -> dict[str, Any]:
    """The options of a handler that is for bearers of this scope."""
    return {"access": scope}


async def authorise(request: ApiRequest) -> Response[bytes] | None:
    """Let the request in or raise ProblemError; a path that names no access lets nobody in.

    It runs before anything of the request is parsed. A write that was answered before gets that answer again.
    """
    access = request.route_handler.opt.get("access")
    if access == "open":
        return None
    context = context_of(request)
    principal = context.tokens.look(request.headers.get("authorization"))
    if isinstance(principal, Refusal):
        context.telemetry.count(API_DENIED, reason="token")
        error = ProblemError(401, principal.value, _REFUSALS[principal])
        error.headers = {"WWW-Authenticate": CHALLENGE if principal is Refusal.NONE else INVALID}
        raise error
    if access not in principal.scopes:
        context.telemetry.count(API_DENIED, reason="scope")
        raise ProblemError(403, "scope-needed", f"token {principal.name} lacks the scope {access}")
    request.scope["user"] = principal
    _limit(request, principal)
    return await _answered_before(request, principal)


def _limit(request: ApiRequest, principal: Principal) -> None:
    context = context_of(request)
    allowance = context.rate.take(principal.name, context.clock.monotonic())
    wait = f";t={allowance.wait_s}" if allowance.wait_s else ""
    told = {"RateLimit-Policy": context.rate.policy, "RateLimit": f'"token";r={allowance.left}{wait}'}
    request.scope["state"]["rate"] = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    if not allowance.granted:
        context.telemetry.count(API_DENIED, reason="rate")
        error = ProblemError(
            429, "too-many-requests", f"token {principal.name} asks too often: wait as Retry-After says"
        )
        error.headers = {"Retry-After": str(allowance.wait_s)}
        raise error


async def _answered_before(request: ApiRequest, principal: Principal) -> Response[bytes] | None:
    key = request.headers.get("idempotency-key")
    # What shows a secret once is not kept to be shown again.
    if key is None or request.method != "POST" or request.route_handler.opt.get("secret"):
        return None
    context = context_of(request)
    asked = b"\n".join((request.url.path.encode(), request.url.query.encode(), await request.body()))
    begun = context.idempotency.begin(principal.name, key, asked, context.clock.monotonic())
    if isinstance(begun, Answered):
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in begun.headers}
        return Response(begun.body, status_code=begun.status, headers=headers | {"Idempotent-Replayed": "true"})
    request.scope["state"]["idempotency"] = (principal.name, key, begun)
    return None


def _keep_answer(message: Message, scope: AsgiScope, context: Context) -> None:
    if "idempotency" not in scope["state"]:
        return
    sender, key, entry = scope["state"]["idempotency"]
    if message["type"] == "http.response.start":
        kept = ((name, value) for name, value in message["headers"] if name.lower() in _KEPT)
        entry.start = (message["status"], tuple(kept))
    elif message["type"] == "http.response.body" and entry.start and not message.get("more_body"):
        context.idempotency.finish(sender, key, Answered(entry.start[0], entry.start[1], message["body"]))


_KEPT = frozenset({b"content-type", b"content-encoding", b"location"})

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
    """Put the security headers on every answer, errors included, count it, and keep it where it may be asked for again."""
    context: Context = scope["litestar_app"].state["context"]
    _keep_answer(message, scope, context)
    if message["type"] != "http.response.start":
        return
    headers = list(message["headers"])
    names = {name.lower() for name, _ in headers}
    headers += _API_HEADERS
    headers += [header for header in _API_ONLY if header[0] not in names]
    if scope["scheme"] == "https":
        headers += _TLS_ONLY
    headers += scope["state"].get("rate", [])
    message["headers"] = headers
    context.telemetry.count(API_REQUESTS, status=str(message["status"]))
