"""Who asks, and what they may: bearer tokens with scopes, compared in constant time, denied by default."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ingest.runtime.secrets import SecretError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dashboards.api.config import Scope, TokenConfig
    from dashboards.api.token_file import KeptToken, TokenFile

_LOGGER = logging.getLogger("tidegate.api")


class Principal(NamedTuple):
    """Who a request comes from: the token's name, the tenant whose data alone it sees, and what it may do."""

    name: str
    tenant: str
    scopes: frozenset[Scope]


class NewToken(NamedTuple):
    """A token to hand out once, and the digest to keep."""

    token: str
    sha256: str


def new_token() -> NewToken:
    """A random token of 256 bits."""
    token = "tg_" + secrets.token_urlsafe(32)
    return NewToken(token, digest_of(token))


def digest_of(token: str) -> str:
    """What a configuration keeps of a token. Plain SHA-256 is enough for random tokens: there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()


class Refusal(StrEnum):
    """Why nobody is let in: the problem's name."""

    NONE = "token-needed"
    MALFORMED = "token-malformed"
    UNKNOWN = "token-unknown"
    EXPIRED = "token-expired"


class Tokens:
    """The configured tokens, and those in the file `kept`; `now` (ms) tells which have expired."""

    def __init__(
        self, tokens: Iterable[TokenConfig], kept: TokenFile | None = None, now: Callable[[], int] = lambda: 0
    ) -> None:
        self._known = [_known(one) for one in tokens]
        self.kept, self._now = kept, now

    def principal(self, authorization: str | None) -> Principal | None:
        """Who bears the token of an Authorization header: `Bearer token`, or `Basic` with the token as password.

        Basic serves senders that can only put credentials into a URL (Flagger's webhooks).
        """
        found = self.look(authorization)
        return found if isinstance(found, Principal) else None

    def look(self, authorization: str | None) -> Principal | Refusal:
        """The same, or why not."""
        if not authorization:
            return Refusal.NONE
        presented = _presented(authorization)
        if not presented:
            return Refusal.MALFORMED
        digest, found = digest_of(presented), None
        kept = self._from_file()
        for known in (*self._known, *kept):  # every one is compared: the time taken tells nothing
            if hmac.compare_digest(known.sha256, digest):
                found = known
        if found is None:
            return Refusal.UNKNOWN
        return Refusal.EXPIRED if found.expires and found.expires <= self._now() else found.principal

    def _from_file(self) -> list[_Known]:
        try:
            return [_known(one) for one in self.kept.tokens()] if self.kept else []
        except SecretError as error:  # what cannot be read opens nothing; the other tokens still do
            _LOGGER.error("tokens: %s", error)  # noqa: TRY400 - the text says it all
            return []


class _Known(NamedTuple):
    sha256: str
    expires: int
    principal: Principal


def _known(token: TokenConfig | KeptToken) -> _Known:
    return _Known(token.sha256, token.expires, Principal(token.name, token.tenant, frozenset(token.scopes)))


def _presented(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        return _password(rest.strip())
    return ""


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
