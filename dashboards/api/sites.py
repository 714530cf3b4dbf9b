"""The sites of one tenant: who speaks for them, how far their watermark is, and which are dark."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.contract.events import GatewayEvent

MISSED_HEARTBEATS = 3
"""After so many heartbeats that did not come a gateway counts as dark."""


class SiteState(StrEnum):
    """What the centre hears of a site, the worst of its gateways."""

    LIVE = "live"
    BEHIND = "behind"  # heard, but what it says is old: a backlog drains
    CUT_OFF = "cut_off"  # the gateway is heard, but hears no devices
    DARK = "dark"  # no heartbeat arrives
    UNHEARD = "unheard"  # configured, and never heard


_WORST_FIRST = (SiteState.DARK, SiteState.CUT_OFF, SiteState.BEHIND, SiteState.UNHEARD, SiteState.LIVE)


class Heard(NamedTuple):
    """A gateway's newest heartbeat and when the log took it (ms); None before the first."""

    event: GatewayEvent | None
    arrived: int


class GatewayView(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway. `at` is its watermark (ms), 0 when never heard; `lag_ms` how far that is behind the clock."""

    gateway: str
    state: SiteState
    at: int
    lag_ms: int
    devices: int
    silent: int
    backlog_bytes: int


class SiteView(msgspec.Struct, frozen=True, kw_only=True):
    """One site. `watermark` (ms) is the least of its gateways'; `states` counts the devices by state."""

    site: str
    state: SiteState
    watermark: int
    backlog_bytes: int
    devices: int
    states: dict[str, int]
    gateways: list[GatewayView]


def gateway_state(heard: Heard, now: int) -> SiteState:
    """What is heard of a gateway at time `now` (ms)."""
    event = heard.event
    if event is None:
        return SiteState.UNHEARD
    patience = MISSED_HEARTBEATS * max(event.heartbeat_ms, 1)
    if now - heard.arrived > patience:
        return SiteState.DARK
    if event.cut_off:
        return SiteState.CUT_OFF
    # It speaks, but of the past: its outbox is first in, first out.
    if now - event.at > patience:
        return SiteState.BEHIND
    return SiteState.LIVE


def gateway_view(name: str, heard: Heard, now: int) -> GatewayView:
    """One gateway at time `now` (ms)."""
    event = heard.event
    if event is None:
        return GatewayView(gateway=name, state=SiteState.UNHEARD, at=0, lag_ms=0, devices=0, silent=0, backlog_bytes=0)
    return GatewayView(
        gateway=name,
        state=gateway_state(heard, now),
        at=event.at,
        lag_ms=max(0, now - event.at),
        devices=event.devices,
        silent=event.silent,
        backlog_bytes=event.backlog_bytes,
    )


def site_view(site: str, gateways: Mapping[str, Heard], states: dict[str, int], now: int) -> SiteView:
    """One site at time `now` (ms); `states` counts its devices."""
    views = [gateway_view(name, heard, now) for name, heard in sorted(gateways.items())]
    heard_states = {view.state for view in views} or {SiteState.UNHEARD}
    return SiteView(
        site=site,
        state=next(state for state in _WORST_FIRST if state in heard_states),
        watermark=min((view.at for view in views if view.at), default=0),
        backlog_bytes=sum(view.backlog_bytes for view in views),
        devices=sum(states.values()),
        states=states,
        gateways=views,
    )
