"""A site's facts become a rollout's evidence: in order of time, up to the site's watermark."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from msgspec import structs

from analytics.rollouts.evidence import observe
from analytics.rollouts.facts import Fact, FactKind
from analytics.rollouts.outages import end_outage, note_return, outage_ms, put_off_silence, tell_silence
from analytics.rollouts.rollout import order_of
from ingest.contract.events import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.rollouts.evidence import History
    from analytics.rollouts.rollout import Rollout, Row


def observe_site(rollout: Rollout, site: str, facts: Sequence[Fact], watermark: int) -> list[Row]:
    """Take a site's facts up to its watermark (ms), in order; the rows of evidence that the gate took."""
    queue = [fact for fact in facts if f"{fact.site}/{fact.device}" in rollout.histories]
    heapq.heapify(queue)
    rows = [
        row for fact in _in_order(queue, rollout.dues.setdefault(site, []), watermark) for row in _rows(rollout, fact)
    ]
    return rollout.take(sorted(rows, key=order_of))


def _in_order(queue: list[Fact], dues: list[Fact], watermark: int) -> Iterator[Fact]:
    # What a fact leads to may be due before the next fact.
    while True:
        due = [heap for heap in (queue, dues) if heap and heap[0].at <= watermark]
        if not due:
            return
        yield heapq.heappop(min(due, key=lambda heap: heap[0]))


def _rows(rollout: Rollout, fact: Fact) -> list[Row]:
    if fact.kind is FactKind.OUTAGE_OVER:
        return end_outage(rollout, fact.site, fact.at)
    history = rollout.histories[f"{fact.site}/{fact.device}"]
    if fact.kind is FactKind.SOAK_OVER:
        return _soaked(rollout, history, fact.at)
    if fact.kind is FactKind.SILENCE_TOLD:
        return tell_silence(rollout, history, fact)
    return _observe(rollout, history, fact)


def _observe(rollout: Rollout, history: History, fact: Fact) -> list[Row]:
    kind = observe(history, fact, round(rollout.plan.install_grace_s * 1000))
    if history.silent_in_grace and fact.kind is FactKind.SILENT:
        rollout.put_off(Fact(history.grace_until, FactKind.GRACE_OVER, fact.site, fact.device, trace=rollout.trace))
    if history.dark:
        note_return(rollout, history, fact)
    if kind is None:
        return []
    detail = "silent since its install" if fact.kind is FactKind.GRACE_OVER else fact.reason or fact.kind.name.lower()
    if kind is EvidenceKind.SILENT and outage_ms(rollout):
        put_off_silence(rollout, history, fact, detail)
        return []
    return [rollout.row(history, kind, fact.at, fact.trace, detail)]


def _soaked(rollout: Rollout, history: History, at: int) -> list[Row]:
    # A soak that was broken off by a later stage is none.
    if not rollout.soaking.is_over(history.key(), at):
        return []
    # A device that left or fell silent has no soak: that it did is evidence of another kind.
    found = rollout.soaking.finish(history.key())
    if history.left or history.silent:
        return []
    return [_soak_row(rollout, history, at, one) for one in found]


def _soak_row(rollout: Rollout, history: History, at: int, found: tuple[str, float, float | None]) -> Row:
    (statistic, value, before), row = found, rollout.row(history, EvidenceKind.SOAKED, at, rollout.trace)
    return row._replace(evidence=structs.replace(row.evidence, metric=statistic, value=value, before=before))
