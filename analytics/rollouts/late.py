"""What late facts would have made of a verdict: told beside it, by a gate of its own that decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from analytics.rollouts.roster import CODES
from ingest.contract.events import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingest.contract.events import Evidence

_WOULD_HAVE_BEEN = {kind.value: kind for kind in (EvidenceKind.CRASHED, EvidenceKind.SILENT, EvidenceKind.ALARMED)}


def in_their_places(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The evidence with every late fact as what it would have been (its `detail` says what), all in order of event time."""
    rows = [_as_if_in_time(row) for row in evidence]
    return sorted(rows, key=lambda row: (row.at, CODES[row.kind]))


def _as_if_in_time(row: Evidence) -> Evidence:
    kind = _WOULD_HAVE_BEEN.get(row.detail) if row.kind is EvidenceKind.LATE else None
    return row if kind is None else replace(row, kind=kind)
