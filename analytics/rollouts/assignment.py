"""Who is in which arm, read from the recorded evidence, in the forms that other systems take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ingest.contract.events import Arm, EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.contract.events import Evidence

LONGEST_FILTER = 1024
"""Characters of a target filter query that hawkBit takes (TargetFilterQuery.QUERY_MAX_SIZE)."""


class Assigned(msgspec.Struct, frozen=True, kw_only=True):
    """A device with its stratum, arm and wave; `since` (ms) is when it was drawn."""

    site: str
    device: str
    stratum: str
    arm: Arm
    wave: str
    since: int


def assigned(evidence: Iterable[Evidence]) -> list[Assigned]:
    """The devices that are enrolled after these rows, by site and name; a control that was promoted is a canary."""
    found: dict[tuple[str, str], Assigned] = {}
    for row in evidence:
        key = (row.site, row.device)
        if row.kind is EvidenceKind.ENROLLED:
            found[key] = Assigned(
                site=row.site, device=row.device, stratum=row.stratum, arm=row.arm, wave=row.wave, since=row.at
            )
        elif row.kind is EvidenceKind.CENSORED:
            found.pop(key, None)
    return [found[key] for key in sorted(found)]


def hawkbit_filters(devices: Iterable[str]) -> list[str]:
    """Target filter queries that name exactly these controllers, each as short as hawkBit asks; devices are its controller ids.

    Raises ValueError for a name that no query could hold.
    """
    filters: list[str] = []
    for device in devices:
        quoted = '"' + device.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if len(f"controllerid=in=({quoted})") > LONGEST_FILTER:
            raise ValueError(f"{device[:64]!r}… is longer than a target filter query may be")
        longer = f"{filters[-1][:-1]},{quoted})" if filters else ""
        if longer and len(longer) <= LONGEST_FILTER:
            filters[-1] = longer
        else:
            filters.append(f"controllerid=in=({quoted})")
    return filters
