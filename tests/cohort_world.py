"""What sites say of their cohorts, drawn at random: slots of one tenant, and what came of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.cohorts.tenant import Cohorts
from analytics.detect.config import DetectConfig
from analytics.detectors.cohort_shift import SLOT_WINDOWS
from ingest.contract.events import AnomalyEvent, AnomalyStatus, CohortEvent, CohortPart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TENANT, METRIC, HARDWARE, FIRMWARE = "acme", "temperature", "rev-b", "2.2.0"
WIDTH = 60_000
SLOT_MS = WIDTH * SLOT_WINDOWS
FIRST = 1_700_000_000_000 // SLOT_MS
SPREAD = 0.18
"""Of the moving mean of independent normal windows, in scales."""
LEARNS = 120
"""More slots than it takes to know a cohort."""
CONFIG = DetectConfig()


def moment(slot: int) -> int:
    """The time (ms) of a slot."""
    return (FIRST + slot) * SLOT_MS


class Site:
    """A site with so many devices of each firmware; `site.shift[firmware]` is how far these have moved, in scales."""

    def __init__(self, name: str, seed: int, devices: Mapping[str, int]) -> None:
        self.name, self.devices = name, dict(devices)
        self.shift: dict[str, float] = {}
        self._chance = np.random.default_rng([seed, *name.encode()])

    def says(self, slot: int, metric: str = METRIC) -> CohortEvent:
        parts = []
        for firmware, devices in self.devices.items():
            drawn = self._chance.normal(self.shift.get(firmware, 0.0), SPREAD, devices)
            parts.append(CohortPart(metric, HARDWARE, firmware, devices, *_sums(drawn)))
        return said(self.name, slot, parts)


class Fleet:
    """Sites whose devices are of one kind, and a tenant that hears them."""

    def __init__(self, sites: int = 5, devices: int = 8, *, seed: int = 1, config: DetectConfig = CONFIG) -> None:
        self.sites = [Site(f"site-{number}", seed, {FIRMWARE: devices}) for number in range(sites)]
        self.tenant = Cohorts(TENANT, config)
        self.told: list[AnomalyEvent] = []
        self.slot = 0

    def run(self, slots: int) -> list[AnomalyEvent]:
        """So many slots on; the last one is not decided yet."""
        before = len(self.told)
        for _ in range(slots):
            for site in self.sites:
                self.told += self.tenant.take(site.says(self.slot), moment(self.slot))
            self.slot += 1
        return self.told[before:]

    def shift(self, by: float, sites: Sequence[int] | None = None, firmware: str = FIRMWARE) -> None:
        for number in range(len(self.sites)) if sites is None else sites:
            self.sites[number].shift[firmware] = by


def said(site: str, slot: int, parts: list[CohortPart], *, seq: int | None = None, width: int = WIDTH) -> CohortEvent:
    return CohortEvent(
        tenant=TENANT,
        site=site,
        gateway=f"gw-{site}",
        boot="b1",
        seq=slot if seq is None else seq,
        at=moment(slot),
        width=width,
        parts=parts,
    )


def statuses(events: Sequence[AnomalyEvent]) -> list[AnomalyStatus]:
    """Without those that say that it goes on."""
    return [event.status for event in events if event.status is not AnomalyStatus.CONTINUES]


def _sums(drawn: np.ndarray) -> tuple[float, float]:
    return float(f"{drawn.sum():.9g}"), float(f"{(drawn * drawn).sum():.9g}")
