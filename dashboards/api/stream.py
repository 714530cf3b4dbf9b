"""The event stream: the whole picture first, then the newest state of whatever changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from dashboards.api.hub import Hub, Subscription, Thing
    from dashboards.api.views import TenantView

KINDS = ("fleet", "site", "alert", "rollout", "account", "device", "anomaly")
FIRST_KINDS = ("fleet", "site", "alert", "rollout", "account")
"""What a stream begins with; devices and anomalies are read page by page."""
CHUNK = 500
PACE_S = 0.1
KEEP_ALIVE_S = 10.0
ANOMALIES_TOLD = 20


class Greeting(msgspec.Struct, frozen=True):
    """Whose picture this is, and the server's time (ms)."""

    tenant: str
    at: int


class Gone(msgspec.Struct, frozen=True):
    """Something is no longer known."""

    kind: str
    key: str


def everything(view: TenantView, now: int) -> Iterable[Thing]:
    """All that a stream begins with."""
    yield ("fleet", "")
    yield from (("site", site.site) for site in view.sites(now))
    yield from (("alert", fingerprint) for fingerprint in view.alerts.fingerprints())
    yield from (("rollout", name) for name in view.rollouts)
    yield ("account", "")


async def stream(
    hub: Hub, subscription: Subscription, view: TenantView, now: Callable[[], int]
) -> AsyncIterator[bytes]:
    """Server-sent events (WHATWG HTML, section 9.2) until the reader leaves or the hub closes.

    `hello`, the whole picture, `whole`, then changes; `reset` when too much waited, and the same from the start.
    """
    try:
        yield event("hello", Greeting(view.tenant, now()))
        for part in _picture(subscription, view, now):
            yield part
        while not subscription.closed:
            if subscription.overflowed():
                yield event("reset", Greeting(view.tenant, now()))
                subscription.add_all(everything(view, now()))
                for part in _picture(subscription, view, now):
                    yield part
            changed = subscription.take(CHUNK)
            if changed:
                yield _rendered(changed, view, now())
                await asyncio.sleep(PACE_S)  # what changes meanwhile is told once
            elif not await subscription.wait(KEEP_ALIVE_S):
                yield b": still here\n\n"
        yield event("bye", Greeting(view.tenant, now()))
    finally:
        hub.unsubscribe(subscription)


def _picture(subscription: Subscription, view: TenantView, now: Callable[[], int]) -> Iterator[bytes]:
    # What waits now, however much is added meanwhile; then the mark that this was all.
    left = len(subscription)
    while left > 0 and (things := subscription.take(min(left, CHUNK))):
        left -= len(things)
        yield _rendered(things, view, now())
    yield event("whole", Greeting(view.tenant, now()))


def _rendered(things: list[Thing], view: TenantView, now: int) -> bytes:
    return b"".join(render(thing, view, now) for thing in things)


def event(kind: str, data: object) -> bytes:
    """One event; JSON has no line breaks."""
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def render(thing: Thing, view: TenantView, now: int) -> bytes:
    """The newest state of one thing, or that it is gone."""
    kind, key = thing
    state = _state(kind, key, view, now)
    return event("gone", Gone(kind, key)) if state is None else event(kind, state)


def _state(kind: str, key: str, view: TenantView, now: int) -> object:
    site, _, device = key.partition("/")
    match kind:
        case "fleet":
            return view.devices.summary()
        case "site":
            return view.site(key, now)
        case "alert":
            return view.alerts.get(key)
        case "rollout":
            return view.rollouts[key].view() if key in view.rollouts else None
        case "account":
            return view.ledger().totals
        case "device":
            return view.devices.get(site, device)
        case _:
            return view.anomalies.list(site, device, 0, ANOMALIES_TOLD)
