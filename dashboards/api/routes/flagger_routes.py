"""Flagger's webhooks: only a status up to 202 counts as success there, and 5xx or 429 would be retried."""

import logging

import msgspec
from litestar import Response, post

from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of, view_of
from dashboards.api.gates import GateData, gate_data
from dashboards.api.guards import needs
from dashboards.api.problems import ProblemError
from ingest.contract.events import Outcome

_LOGGER = logging.getLogger("tidegate.api")


class Hook(msgspec.Struct, frozen=True):
    """What Flagger sends; `metadata.rollout` names our rollout where it is not called like the canary."""

    name: str = ""
    namespace: str = ""
    phase: str = ""
    checksum: str = ""
    metadata: dict[str, str] = {}


class Taken(msgspec.Struct, frozen=True):
    """It was written down."""

    taken: bool = True


@post("/flagger/confirm", opt=needs(Scope.GATES), status_code=200, tags=["flagger"])
async def confirm(request: ApiRequest) -> Response[GateData]:
    """200 opens the gate (verdict `pass`); 403 holds it."""
    data = _gate(request, await _hook(request))
    return _reply(data, is_open=data.verdict is Outcome.PASS)


@post("/flagger/rollback", opt=needs(Scope.GATES), status_code=200, tags=["flagger"])
async def rollback(request: ApiRequest) -> Response[GateData]:
    """200 asks for a rollback now (verdict `fail` only); 403 does not."""
    data = _gate(request, await _hook(request))
    return _reply(data, is_open=data.verdict is Outcome.FAIL)


@post("/flagger/event", opt=needs(Scope.GATES), status_code=200, tags=["flagger"])
async def event(request: ApiRequest) -> Taken:
    """What Flagger says of its own doing: written to the log."""
    hook = await _hook(request)
    text = (hook.name, hook.namespace, hook.phase, hook.metadata.get("eventMessage", ""))
    _LOGGER.info("flagger: %s", " ".join(repr(part[:200]) for part in text))
    return Taken()


async def _hook(request: ApiRequest) -> Hook:
    try:
        return msgspec.json.decode(await request.body(), type=Hook)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "bad-hook", f"expected Flagger's webhook payload: {error}") from error


def _gate(request: ApiRequest, hook: Hook) -> GateData:
    name = hook.metadata.get("rollout") or hook.name
    known = view_of(request).rollouts.get(name)
    if known is None:
        detail = f"no rollout {name[:200]!r}; name it in the webhook's metadata: rollout"
        raise ProblemError(403, "unknown-rollout", detail)
    return gate_data(known, context_of(request).base_url)


def _reply(data: GateData, *, is_open: bool) -> Response[GateData]:
    # The body of a refusal appears in the canary's events: it says why.
    return Response(data, status_code=200 if is_open else 403)
