"""Tokens: made, shown once, listed without their text, revoked."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from dashboards.api.answers import MOST, Data, Page, cursor_of, key_of
from dashboards.api.bodies import read_body
from dashboards.api.config import Scope
from dashboards.api.context import ApiRequest, context_of
from dashboards.api.guards import needs
from dashboards.api.problems import ProblemError, unknown
from dashboards.api.token_file import BadTokenError, TokenFile, TokenView, token_view

if TYPE_CHECKING:
    from dashboards.api.context import Context

Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]
QUARTER_S = 90 * 86_400.0


class NewTokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the asking token's tenant, with scopes that this one has itself; it expires after `expires_s` seconds."""

    name: str
    scopes: list[Scope]
    expires_s: float = QUARTER_S


class ShownToken(TokenView, frozen=True, kw_only=True):
    """A new token: `token` is never shown again."""

    token: str


@get("/v1/tokens", opt=needs(Scope.TOKENS_WRITE), tags=["tokens"], sync_to_thread=False)
def tokens(request: ApiRequest, limit: Limit = 200, cursor: FromQuery[str] = "") -> Page[TokenView]:
    """The tenant's tokens that were made here, by name; those of the configuration are not among them."""
    after = key_of(cursor, 1)
    known = _file(context_of(request)).tokens()
    mine = sorted((one for one in known if one.tenant == request.user.tenant), key=lambda one: one.name)
    found = [one for one in mine if after is None or one.name > after[0]][: limit + 1]
    return Page(
        data=[token_view(one) for one in found[:limit]],
        next=cursor_of(found[limit - 1].name) if len(found) > limit else "",
    )


@post("/v1/tokens", opt=needs(Scope.TOKENS_WRITE) | {"secret": True}, tags=["tokens"])
async def create_token(request: ApiRequest) -> Response[Data[ShownToken]]:
    """Make a token (NewTokenRequest): 201, and the one time that its text is shown."""
    new = await read_body(request, NewTokenRequest)
    beyond = sorted(set(new.scopes) - request.user.scopes)
    if beyond:
        raise ProblemError(
            403, "scope-needed", f"token {request.user.name} lacks what it would give: {', '.join(beyond)}"
        )
    context, who = context_of(request), request.user
    try:
        made, fresh = _file(context).create(
            new.name, tenant=who.tenant, scopes=new.scopes, by=who.name, now=context.clock.now_ms(), lasts_s=new.expires_s
        )  # fmt: skip
    except BadTokenError as error:
        raise ProblemError(422, "bad-token", str(error)) from error
    shown = ShownToken(**msgspec.structs.asdict(token_view(made)), token=fresh.token)
    return Response(Data(shown), status_code=201)


@delete("/v1/tokens/{name:str}", opt=needs(Scope.TOKENS_WRITE), tags=["tokens"], sync_to_thread=False)
def revoke_token(request: ApiRequest, name: FromPath[str]) -> None:
    """Revoke a token: it opens nothing any more. 204."""
    if not _file(context_of(request)).revoke(name, request.user.tenant):
        raise unknown("token", name)


def _file(context: "Context") -> TokenFile:
    kept = context.tokens.kept
    if kept is None:
        raise ProblemError(501, "tokens-not-configured", "set api.tokens_file, where the tokens' digests are kept")
    return kept
