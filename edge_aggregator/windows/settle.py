"""From closing windows to rollups: clean ones as accumulated, the others recomputed from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_aggregator.windows.corrections import corrections
from edge_aggregator.windows.emissions import final, partial
from edge_aggregator.windows.past import Past
from edge_aggregator.windows.rollups import Fates, Settled, joined, no_rollups

if TYPE_CHECKING:
    from edge_aggregator.windows.recompute import Ground
    from edge_aggregator.windows.windows import Closing

__all__ = ["Past", "settle"]


def settle(closing: Closing, ground: Ground, past: Past) -> Settled:
    """Everything that closes now, what late samples change, and what is shown before it ends."""
    # What closes now goes on from what came before it: corrections are first.
    parts = []
    if len(closing.late.late):
        parts.append(corrections(closing, ground, past))
    if len(closing.final.stage):
        parts.append(final(closing.final, ground, past))
    if len(closing.partial.stage):
        parts.append(partial(closing.partial, ground, past))
    if not parts:
        return Settled(no_rollups())
    return Settled(
        joined([part.rollups for part in parts]).sorted(),
        sum(part.duplicate for part in parts),
        _added([part.dropped for part in parts]),
        _added([part.rejected for part in parts]),
        sum(part.conflicts for part in parts),
        Fates().and_also(*(part.fates for part in parts)),
    )


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    return {reason: sum(count.get(reason, 0) for count in counts) for count in counts for reason in count}
