"""Tokens that are made and revoked while the API runs: a file of their digests, shared by the API and the command line.

A token's text is nowhere in it. Changes are made to a copy that takes the file's place whole, one writer at a time.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from dashboards.api.auth import NewToken, new_token
from dashboards.api.config import Scope
from ingest.contract.topics import is_name
from ingest.runtime.secrets import SecretError, read_secret, write_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOST = 10_000
LONGEST_S = 366 * 86_400.0


class BadTokenError(ValueError):
    """A token that cannot be made; the text says why."""


class KeptToken(msgspec.Struct, frozen=True, kw_only=True):
    """One token: who made it, when it was made and when it expires (ms), the digest of its text."""

    name: str
    tenant: str
    sha256: str
    scopes: list[Scope]
    created: int
    expires: int
    by: str


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is shown: without anything that it could be known by."""

    name: str
    scopes: list[Scope]
    created: int
    expires: int
    by: str


def token_view(token: KeptToken) -> TokenView:
    """As it is shown."""
    return TokenView(name=token.name, scopes=token.scopes, created=token.created, expires=token.expires, by=token.by)


class TokenFile:
    """The tokens in `path`; `taken` are names that other tokens have. No file: no tokens."""

    def __init__(self, path: Path, taken: frozenset[str] = frozenset()) -> None:
        self._path, self._taken = path, taken
        self._seen: tuple[int, int, int] | None = None
        self._tokens: list[KeptToken] = []

    def tokens(self) -> list[KeptToken]:
        """What the file says now; it is read when it has changed. Raises SecretError."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            self._seen, self._tokens = None, []
            return self._tokens
        except OSError as error:
            raise SecretError(f"{self._path}: cannot be read: {error.strerror}") from error
        seen = (state.st_mtime_ns, state.st_ino, state.st_size)
        if seen != self._seen:
            self._tokens, self._seen = self._read(), seen
        return self._tokens

    def create(
        self, name: str, *, tenant: str, scopes: list[Scope], by: str, now: int, lasts_s: float
    ) -> tuple[KeptToken, NewToken]:
        """A new token, in the file on return. Raises BadTokenError, SecretError, OSError."""
        _check(name, tenant, scopes, lasts_s)
        fresh = new_token()
        made = KeptToken(
            name=name, tenant=tenant, sha256=fresh.sha256, scopes=scopes, created=now, expires=now + round(lasts_s * 1000), by=by
        )  # fmt: skip

        def added(tokens: list[KeptToken]) -> list[KeptToken]:
            if name in self._taken or name in {one.name for one in tokens}:
                raise BadTokenError(f"name {name!r} is taken: choose another, or revoke that token first")
            if len(tokens) >= MOST:
                raise BadTokenError(f"{MOST} tokens are there already: revoke some that nobody needs")
            return [*tokens, made]

        self._change(added)
        return made, fresh

    def revoke(self, name: str, tenant: str) -> bool:
        """The token opens nothing any more; whether this tenant had one of that name. Raises SecretError, OSError."""
        was_there = False

        def without(tokens: list[KeptToken]) -> list[KeptToken]:
            nonlocal was_there
            left = [one for one in tokens if (one.name, one.tenant) != (name, tenant)]
            was_there = len(left) < len(tokens)
            return left

        self._change(without)
        return was_there

    def _change(self, change: Callable[[list[KeptToken]], list[KeptToken]]) -> None:
        with self._alone():
            before = self.tokens()
            after = change(before)
            if after == before:
                return
            fresh = self._path.with_name(self._path.name + ".new")
            write_secret(fresh, msgspec.json.format(msgspec.json.encode(after), indent=1))
            fresh.replace(self._path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> list[KeptToken]:
        try:
            return msgspec.json.decode(read_secret(self._path), type=list[KeptToken])
        except msgspec.DecodeError as error:
            raise SecretError(f"{self._path}: not a file of tokens: {error}") from error


def _check(name: str, tenant: str, scopes: list[Scope], lasts_s: float) -> None:
    if not is_name(name) or not is_name(tenant):
        raise BadTokenError(f"name {name[:50]!r}, tenant {tenant[:50]!r}: expected letters, digits and _.:@-")
    if not scopes:
        raise BadTokenError(f"scopes: empty, expected some of {', '.join(Scope)}")
    if not 1 <= lasts_s <= LONGEST_S:
        raise BadTokenError("it has to expire after a second at the least, and within a year")
