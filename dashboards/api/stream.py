"""The event stream: the whole picture first, then the newest state of whatever changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from dashboards.api.hub import Subscription, things_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from dashboards.api.hub import Hub, Thing
    from dashboards.api.views import TenantView

KINDS = ("fleet", "site", "alert", "incident", "rollout", "account", "silence", "maintenance", "device", "anomaly")
FIRST_KINDS = ("fleet", "site", "alert", "incident", "rollout", "account")
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
    """All that a stream begins with, of the kinds that it was asked for."""
    yield ("fleet", "")
    yield from (("site", site.site) for site in view.sites(now))
    yield from (("alert", fingerprint) for fingerprint in view.alerts.fingerprints())
    yield from (("incident", name) for name in view.incidents.names())
    yield from (("rollout", name) for name in view.rollouts)
    yield ("account", "")
    yield from (("silence", silence.id) for silence in view.silences.list(ended_before=now))
    yield from (("maintenance", window.id) for window in view.maintenance.list(now))


def begin(hub: Hub, view: TenantView, kinds: frozenset[str], mark: str, now: int) -> tuple[str, Subscription]:
    """A reader who shows `mark` (empty: none), and how its stream begins.

    `hello` with the whole picture, `resumed` with what changed since the mark, `reset` with the whole picture when that is not known.
    """
    missed = hub.remembered.since(view.tenant, kinds, mark) if mark else None
    if missed is not None:
        return "resumed", Subscription(view.tenant, kinds, (thing for one in missed for thing in things_of(one)))
    return "reset" if mark else "hello", Subscription(view.tenant, kinds, everything(view, now))


async def stream(
    hub: Hub, subscription: Subscription, view: TenantView, now: Callable[[], int], first: str = "hello"
) -> AsyncGenerator[bytes, None]:
    """Server-sent events (WHATWG HTML, section 9.2) until the reader leaves or the hub closes.

    `first`, the whole picture, `whole` (these two not after `resumed`), then changes; `reset` when too much waited, and the same
    from the start. Where all is told that there is to tell, a mark follows as the stream's id.
    """
    try:
        yield event(first, Greeting(view.tenant, now()))
        if first != "resumed":
            for part in _picture(hub, subscription, view, now):
                yield part
        while not subscription.closed:
            if subscription.overflowed():
                yield event("reset", Greeting(view.tenant, now()))
                subscription.add_all(everything(view, now()))
                for part in _picture(hub, subscription, view, now):
                    yield part
            changed = subscription.take(CHUNK)
            if changed:
                all_told = b"" if len(subscription) else _mark(hub, subscription, hub.remembered.number)
                yield _rendered(changed, view, now()) + all_told
                await asyncio.sleep(PACE_S)  # what changes meanwhile is told once
            elif not await subscription.wait(KEEP_ALIVE_S):
                yield b": still here\n" + _mark(hub, subscription, hub.remembered.number)
        yield event("bye", Greeting(view.tenant, now()))
    finally:
        hub.unsubscribe(subscription)


def _picture(hub: Hub, subscription: Subscription, view: TenantView, now: Callable[[], int]) -> Iterator[bytes]:
    # What waits now, however much is added meanwhile; then the mark that this was all.
    left, number = len(subscription), hub.remembered.number
    while left > 0 and (things := subscription.take(min(left, CHUNK))):
        left -= len(things)
        yield _rendered(things, view, now())
    yield event("whole", Greeting(view.tenant, now())) + _mark(hub, subscription, number)


def _mark(hub: Hub, subscription: Subscription, number: int) -> bytes:
    # An event without data only sets the reader's last event id.
    return b"id: " + hub.remembered.mark(subscription.tenant, subscription.kinds, number).encode() + b"\n\n"


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
        case "silence":
            return view.silences.get(key)
        case "maintenance":
            return view.maintenance.get(key, now)
        case "incident":
            return view.incidents.head(key)
        case "rollout":
            return view.rollouts[key].view() if key in view.rollouts else None
        case "account":
            return view.ledger().totals
        case "device":
            return view.devices.get(site, device)
        case _:
            return view.anomalies.list(site, device, 0, ANOMALIES_TOLD)
