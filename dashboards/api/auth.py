"""Who asks, and what they may: bearer tokens with scopes, compared in constant time, denied by default."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboards.api.config import Scope, TokenConfig


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


class Tokens:
    """The configured tokens."""

    def __init__(self, tokens: Iterable[TokenConfig]) -> None:
        self._known = [(t.sha256, Principal(t.name, t.tenant, frozenset(t.scopes))) for t in tokens]

    def principal(self, authorization: str | None) -> Principal | None:
        """Who bears the token of an Authorization header: `Bearer token`, or `Basic` with the token as password.

        Basic serves senders that can only put credentials into a URL (Flagger's webhooks).
        """
        digest = digest_of(_presented(authorization or ""))
        found = None
        for known, principal in self._known:  # every one is compared: the time taken tells nothing
            if hmac.compare_digest(known, digest):
                found = principal
        return found


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
