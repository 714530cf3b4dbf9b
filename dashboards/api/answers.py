"""What answers look like, and pages of a list: a cursor names the last thing seen, so that what comes and goes meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
from typing import Generic, TypeVar

import msgspec

from dashboards.api.problems import ProblemError

T = TypeVar("T")
MOST = 1000


class Data(msgspec.Struct, Generic[T], frozen=True):
    """One resource."""

    data: T


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some resources of a list; `next` is the cursor of what follows, empty at the end."""

    data: list[T]
    next: str = ""


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
