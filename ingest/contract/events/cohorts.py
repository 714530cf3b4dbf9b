"""What one site says of its devices by kind, from which cohorts over sites are judged: topic `fleet.cohorts.v1`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ingest.contract.records import LATEST_MS

MOST_SERIES = 1 << 32


class CohortPart(msgspec.Struct, frozen=True, array_like=True):
    """Of a metric on devices of one hardware and firmware: how many series there are, and how far these are from their own past.

    `total` and `squares` are sums of distances and of their squares, each in its series' own scale, rounded to nine digits.
    """

    metric: str
    hardware: str
    firmware: str
    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_SERIES)]
    total: float
    squares: float


class CohortEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.cohorts.v1`, key tenant: of one batch the windows of `width` ms of one slot.

    `at` (ms) is the slot's: equal for all sites, and a multiple of its length.
    """

    tenant: str
    site: str
    gateway: str
    boot: str
    seq: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
    at: Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]
    width: Annotated[int, msgspec.Meta(ge=1, le=MOST_SERIES)]
    parts: Annotated[list[CohortPart], msgspec.Meta(min_length=1)]
