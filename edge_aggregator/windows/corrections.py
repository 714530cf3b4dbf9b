"""Windows that had closed when samples came for them: computed again, and shipped whole if they have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.by_device import by_device
from edge_aggregator.windows.details import asked_of, details, differ
from edge_aggregator.windows.keys import Spans
from edge_aggregator.windows.links import near, successors
from edge_aggregator.windows.recompute import recompute
from edge_aggregator.windows.rollups import Fates, Settled, of_statistics
from edge_aggregator.windows.tails import Before, nothing_before
from ingest.contract.reasons import SampleDrop, SampleRejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.windows.past import Past
    from edge_aggregator.windows.recompute import Ground
    from edge_aggregator.windows.statistics import Kept
    from edge_aggregator.windows.windows import Closing

MOST_REVISIONS = 65_535


class _Touched(NamedTuple):
    """Windows that late samples may change, shape (windows,); how many `came` for each, and the samples before it.

    `blind`: an unreadable block may hold the sample before it.
    """

    spans: Spans
    came: NDArray[np.int64]
    now: Before
    then: Before
    blind: NDArray[np.bool_]


def corrections(closing: Closing, ground: Ground, past: Past) -> Settled:
    """What late samples change."""
    late, names = closing.late, ground.names
    # What a window goes on from must be in the journal as well.
    evicted = late.spans.start - asked_of(names, late.spans.series).looks_back() <= past.evicted_until
    unsent = ~evicted & past.unsent(late.spans, names)
    coarse = ~evicted & ~unsent & past.coarsened(late.spans, names)
    able = ~evicted & ~unsent & ~coarse
    touched = _touched(late.spans.only(able), late.late[able], ground, past, closing.closed)
    losses = {
        SampleDrop.JOURNAL_EVICTED.value: int(late.late[evicted].sum()),
        SampleDrop.OUTBOX_FULL.value: int(late.late[unsent].sum()),
        SampleDrop.DEGRADED.value: int(late.late[coarse].sum()),
    }
    revised = _revised(touched, ground, past, losses)
    lost = by_device(names.columns["device"][late.spans.series[~able]], late.late[~able])
    return revised._replace(fates=revised.fates.and_also(Fates(dropped=lost)))


def _touched(spans: Spans, came: NDArray[np.int64], ground: Ground, past: Past, closed: NDArray[np.int64]) -> _Touched:
    windows = len(came)
    linked = asked_of(ground.names, spans.series).looks_back() > 0
    if not linked.any():
        return _Touched(spans, came, nothing_before(windows), nothing_before(windows), np.zeros(windows, np.bool_))
    own = spans.only(linked)
    reach = asked_of(ground.names, own.series).reach
    found, unreadable = near(own, reach, ground)
    after = successors(own, reach, found, ground, closed)
    # What was dropped or has become coarser is not shipped again because of the window before it.
    after = after.only(~past.unsent(after, ground.names) & ~past.coarsened(after, ground.names))
    spans = Spans(*(np.concatenate(columns) for columns in zip(spans, after, strict=True)))
    blind = np.zeros(len(spans.series), np.bool_)
    blind[:windows][linked] = unreadable
    came = np.append(came, np.zeros(len(after.series), np.int64))
    return _Touched(spans, came, found.before(spans), found.upto(past.position).before(spans), blind)


def _revised(touched: _Touched, ground: Ground, past: Past, losses: dict[str, int]) -> Settled:
    spans, came = touched.spans, touched.came
    then = recompute(spans, ground, since=past.position)
    asked = asked_of(ground.names, spans.series)
    now = details(then.now.kept, asked, touched.now)
    unlike = differ(now, details(then.before.kept, asked, touched.then), len(came))
    incomplete = then.incomplete | touched.blind
    changed = ~incomplete & (unlike | ~then.now.same(then.before))
    revision = np.zeros(len(came), np.int64)
    # A window that nobody had opened yet begins with its first revision.
    corrects = changed & (then.before.distinct > 0)
    revision[corrects] = past.revisions(spans.only(corrects)) + 1
    endless = revision > MOST_REVISIONS
    able = ~incomplete & ~endless
    _advance(past, spans, then.now.kept, able & asked.linked())
    net = then.now.distinct - then.before.distinct
    losses[SampleDrop.CORRUPT_BLOCK.value] = int(came[incomplete].sum())
    rollups = of_statistics(spans, then.now, revision, net)._replace(details=now)
    device = ground.names.columns["device"][spans.series]
    return Settled(
        rollups.rows(changed & able),
        int((came - net)[able].sum()),
        {reason: lost for reason, lost in losses.items() if lost},
        {SampleRejection.TOO_OLD.value: int(came[endless].sum())} if endless.any() else {},
        int((then.now.conflicts - then.before.conflicts)[able].sum()),
        Fates(
            by_device(device[able], (came - net)[able]),
            by_device(device[incomplete], came[incomplete]),
            by_device(device[endless], came[endless]),
        ),
    )


def _advance(past: Past, spans: Spans, kept: Kept, which: NDArray[np.bool_]) -> None:
    if which.any():
        mine = kept.of(which)
        series = spans.series[which][mine.window]
        order = np.lexsort((mine.ts, series))
        past.tails.advance(series[order], mine.ts[order], mine.value[order])
