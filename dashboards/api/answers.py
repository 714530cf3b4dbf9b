"""What answers look like, and pages of a list: a cursor names the last thing seen, so that what comes and goes meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
from typing import Generic, TypeVar

import msgspec

from dashboards.api.problems import ProblemError
from dashboards.api.representation import names, tag_of

T = TypeVar("T")
MOST = 1000


class Data(msgspec.Struct, Generic[T], frozen=True):
    """One resource."""

    data: T


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some resources of a list; `next` is the cursor of what follows, empty at the end."""

    data: list[T]
    next: str = ""


def unless_changed(if_match: str | None, now: object) -> None:
    """Raise ProblemError (412) when `If-Match` names another state than that of the resource, `now` as GET answers it."""
    if if_match is not None and not names(if_match, tag_of(msgspec.json.encode(Data(now)))):
        raise ProblemError(412, "changed-meanwhile", "it is not any more as If-Match has it: look again, then decide")


def cursor_of(*key: str) -> str:
    """An opaque cursor for a key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def key_of(cursor: str, parts: int) -> tuple[str, ...] | None:
    """The key behind a cursor, None for the empty one. Raises ProblemError."""
    if not cursor:
        return None
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=tuple[str, ...])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        key = ()
    if len(key) != parts:
        raise ProblemError(400, "bad-cursor", "the cursor is not one that this API gave out; begin without one")
    return key


def number_of(text: str) -> int:
    """A number out of a cursor's key. Raises ProblemError."""
    try:
        return int(text[:30])
    except ValueError as error:
        raise ProblemError(
            400, "bad-cursor", "the cursor is not one that this API gave out; begin without one"
        ) from error
