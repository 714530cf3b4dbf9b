"""What the sites said of one slot, put together: of each cohort a row for each site, in a fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.cohorts.waiting import Source
    from ingest.contract.events import CohortPart


class Cohort(NamedTuple):
    """Like devices of a tenant, over all sites: a metric of those of one hardware and firmware, or, as a `family`, of all firmwares."""

    metric: str
    hardware: str
    firmware: str
    width: int
    family: bool = False


class Row(NamedTuple):
    """Of a site: its `series`, and the sums of their distances and of their squares."""

    series: int
    total: float
    squares: float


def by_cohort(said: Mapping[Source, Sequence[CohortPart]], width: int, least_sites: int) -> dict[Cohort, list[Row]]:
    """Cohorts of at least so many sites, families first; sums are taken in the order of the sources' names."""
    found: dict[Cohort, dict[str, Row]] = {}
    for source in sorted(said):
        for part in said[source]:
            for cohort in _cohorts(part, width):
                of_sites = found.setdefault(cohort, {})
                before = of_sites.get(source[0], Row(0, 0.0, 0.0))
                of_sites[source[0]] = Row(
                    before.series + part.count, before.total + part.total, before.squares + part.squares
                )
    order = sorted(found, key=lambda cohort: (not cohort.family, cohort))
    return {cohort: list(found[cohort].values()) for cohort in order if len(found[cohort]) >= least_sites}


def family_of(cohort: Cohort) -> Cohort:
    """The cohort's devices together with those of other firmware."""
    return cohort._replace(firmware="", family=True)


def _cohorts(part: CohortPart, width: int) -> tuple[Cohort, Cohort]:
    cohort = Cohort(part.metric, part.hardware, part.firmware, width)
    return cohort, family_of(cohort)
