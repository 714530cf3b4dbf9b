"""The Owner port: a system that owns a rollout, and the requests by which it is told to go back; one file per system.

A way back is a generator: it yields requests and is sent the answers, and does no I/O of its own. It looks before it changes: what
is done already is not done again, and what it creates carries a name from the order's id and is looked up first. So after a crash
between any two requests it is simply begun anew.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

OK, CREATED, ACCEPTED, NO_CONTENT, BAD_REQUEST, NOT_FOUND, CONFLICT = 200, 201, 202, 204, 400, 404, 409
PASSING = frozenset({408, 409, 412, 425, 429})
"""Answers after which trying again may help, beside those from 500 on."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Go back: `version` and `digest` are of the release to have again, `object` names what the owner owns, by the owner's words.

    `devices` are `site/device`, the worst hit first; `reason` is for people; `decided_at` in ms.
    """

    id: str
    actuator: str
    object: dict[str, str]
    rollout: str
    tenant: str
    version: str
    digest: str
    decided_at: int
    reason: str
    devices: list[str]

    @property
    def name(self) -> str:
        """What objects that are created for this order are called."""
        return f"tidegate-{self.id}"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request: `path` with its query below the owner's address, `body` as JSON (None: no body).

    `expects` are the statuses with which the way goes on, the usual one first.
    """

    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"
    expects: tuple[int, ...] = (OK,)

    @property
    def changes(self) -> bool:
        """Whether it is more than a look."""
        return self.method != "GET"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's answer; `body` is its JSON, None where there is none."""

    status: int
    body: Any = None


class PassingError(RuntimeError):
    """It did not work now; trying again may help."""


class RefusedError(RuntimeError):
    """The owner says no, or the order does not fit what is there: people must look."""


class Owner(Protocol):
    """Knows one system's API."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Which fields `Order.object` must have."""
        ...

    def go_back(self, order: Order) -> Generator[Request, Answer, None]:
        """The way back. Raises PassingError, RefusedError."""
        ...


def ask(request: Request, *expected: int) -> Generator[Request, Answer, Answer]:
    """Send a request; the answer, which has one of the expected statuses. Raises PassingError, RefusedError."""
    request = msgspec.structs.replace(request, expects=expected or (OK,))
    answer = yield request
    if answer.status in request.expects:
        return answer
    told = f"{request.method} {request.path} was answered {answer.status}{_words(answer.body)}"
    if answer.status in PASSING or answer.status >= 500:  # noqa: PLR2004 - the server's own fault
        raise PassingError(told)
    raise RefusedError(told)


def order_id(rollout: str, tenant: str, decided_at: int) -> str:
    """The decision's name in objects that are created for it, equal however often it is derived: 20 hexadecimal digits."""
    return hashlib.sha256("\0".join((tenant, rollout, str(decided_at))).encode()).hexdigest()[:20]


def field(value: Any, *path: str | int, default: Any = None) -> Any:
    """What stands at `path` in an owner's JSON; `default` where it, or anything on the way, is missing or null."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return default
        if value is None:
            return default
    return value


def missing(owner: Owner, named: Mapping[str, str]) -> list[str]:
    """The fields that the owner needs and that are not named."""
    return [name for name in owner.needs if not named.get(name)]


def _words(body: Any) -> str:
    for name in ("message", "error", "detail", "Message"):
        text = field(body, name)
        if isinstance(text, str):
            return f": {text[:300]}"
    return ""
