"""What incidents are made of, for tests: a fleet of many kinds, signals, and a tenant that is fed with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.incidents.config import IncidentsConfig
from analytics.incidents.tenant import Tenant
from ingest.contract.events import IncidentEvent, IncidentState, Signal, SignalKind, SummaryEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

T0 = 1_700_000_000_000
TENANT = "acme"
OPEN, GROWING, RESOLVED, MERGED = IncidentState


def kinds(number: int) -> tuple[str, str, str, str]:
    """Site, group, hardware and firmware of device `number`: all combinations of ten sites, two groups, four, three."""
    firmware = ("2.3.0", "2.2.0", "2.1.0")[number // 80 % 3]
    return f"site-{number % 10}", ("pumps", "fans")[number // 10 % 2], f"rev-{'abcd'[number // 20 % 4]}", firmware


def device(number: int, at: int = T0, *, silent: bool = False, retired: bool = False) -> Signal:
    site, group, hardware, firmware = kinds(number)
    return Signal(
        kind=SignalKind.DEVICE,
        site=site,
        device=f"d{number}",
        at=at,
        since=at,
        active=silent,
        retired=retired,
        firmware=firmware,
        hardware=hardware,
        group=group,
    )


def alarm(
    number: int, at: int, metric: str = "memory", *, value: float = 60.0, active: bool = True, since: int = 0
) -> Signal:
    site, group, hardware, firmware = kinds(number)
    return Signal(
        kind=SignalKind.ANOMALY,
        site=site,
        device=f"d{number}",
        at=at,
        since=since or at,
        active=active,
        metric=metric,
        value=value,
        expected=40.0,
        scale=2.0,
        score=0.9,
        firmware=firmware,
        hardware=hardware,
        group=group,
    )


def over(number: int, at: int, metric: str = "memory") -> Signal:
    return alarm(number, at, metric, active=False)


def dark(site: str, at: int, *, active: bool = True) -> Signal:
    return Signal(
        kind=SignalKind.DARK, site=site, device=f"gw-{site}", at=at, since=at, active=active, metric="site_dark"
    )


class Told:
    """A tenant with a fleet, and what was written of its incidents."""

    def __init__(self, devices: int = 480, **config: float) -> None:
        self.config = msgspec.structs.replace(IncidentsConfig(), **config)
        self.tenant = Tenant(TENANT, self.config)
        self.events: list[IncidentEvent] = []
        self.feed(*(device(number) for number in range(devices)), at=T0)

    def feed(self, *signals: Signal, at: int) -> list[IncidentEvent]:
        written = self.tenant.take(SummaryEvent(tenant=TENANT, at=at, signals=list(signals)))
        self.events += written
        return written

    def until(self, at: int) -> list[IncidentEvent]:
        """All that is decided on up to this moment."""
        return self.feed(at=at + round(self.config.settle_s * 1000) + 1000)

    def people_hear(self) -> list[IncidentEvent]:
        """What notifications are made of."""
        return [event for event in self.events if event.reason not in ("numbers", "calm")]

    def last(self) -> dict[str, IncidentEvent]:
        return {event.incident: event for event in self.events}


def devices_of(*attributes: str, among: Iterable[int] = range(480)) -> list[int]:
    """Devices that have all of these values."""
    return [number for number in among if set(attributes) <= set(kinds(number))]


def cohort(at: int, *, firmware: str = "2.3.0", active: bool = True, metric: str = "memory") -> Signal:
    """All devices of rev-b with a firmware have shifted by a scale, or are back."""
    return Signal(
        kind=SignalKind.COHORT,
        site="",
        device="",
        at=at,
        since=at,
        active=active,
        metric=metric,
        labels=(("firmware", firmware), ("hardware", "rev-b"), ("width_ms", "60000")),
        value=1.02,
        expected=0.01,
        scale=0.1,
        score=0.6,
        firmware=firmware,
        hardware="rev-b",
        sites=10,
        devices=40,
    )
