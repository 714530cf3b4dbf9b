"""The rules that alerts are made by, told to whoever shows alerts: one record for each, written when it is not as before."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec

from analytics.alerts import rules
from analytics.alerts.ruled import SOURCES
from analytics.alerts.stage_records import SOURCE
from ingest.contract.events import RuleEvent
from ingest.contract.records import Outgoing, event_record, read_event
from ingest.contract.topics import RULES
from ingest.runtime.backoff import Backoff
from ingest.runtime.draining import drained_within
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from analytics.alerts.config import AlertsConfig
    from analytics.rules.kinds import Rule
    from analytics.surroundings import Surroundings
    from ingest.contract.records import Record


def rules_now(config: AlertsConfig, written: Sequence[Rule], at: int) -> Iterator[RuleEvent]:
    """Those that are always there, and those of the file."""
    kinds = {name: kind.kind for kind, name in SOURCES.items()}
    for name, known in config.built_in().items():
        yield RuleEvent(
            name=name,
            kind=kinds[name],
            severity=known.severity,
            for_s=known.for_s,
            keep_firing_s=known.keep_firing_s,
            runbook=rules.runbook_of(name),
            at=at,
            built_in=True,
            enabled=known.enabled,
        )
    for rule in written:
        yield RuleEvent(
            name=rule.name,
            kind=rule.kind,
            severity=rule.severity,
            for_s=rule.hold_ms / 1000,
            keep_firing_s=rule.keep_ms / 1000,
            runbook=rule.runbook,
            at=at,
            metric=getattr(rule, "metric", ""),
        )


def changes(known: Mapping[bytes, Record], now: Sequence[RuleEvent]) -> list[Outgoing]:
    """What to write so that the topic, which has `known`, says the rules of `now`: new and other ones, and the end of those that are no more."""
    before = {key: read_event(record, RuleEvent) for key, record in known.items()}
    said = [
        event_record(RULES, rule.name, rule, event_id=f"{rule.name}:{rule.at}", source=SOURCE, time=rule.at)
        for rule in now
        if _without_time(before.get(rule.name.encode())) != _without_time(rule)
    ]
    gone = before.keys() - {rule.name.encode() for rule in now}
    return said + [Outgoing(RULES, key, None, ()) for key in sorted(gone)]


def _without_time(rule: RuleEvent | None) -> RuleEvent | None:
    return msgspec.structs.replace(rule, at=0) if rule else None


class Announcer:
    """A service: it tells the rules once, as soon as the log is there, and then waits for the end."""

    name = "alert rules"

    def __init__(self, config: AlertsConfig, written: Sequence[Rule], within: Surroundings) -> None:
        self._log, self._clock, self._health = within.log, within.clock, within.health
        self._rules = list(rules_now(config, written, within.clock.now_ms()))
        self._draining = asyncio.Event()
        self._backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret

    def drain(self) -> None:
        """Let `run` return."""
        self._draining.set()

    async def run(self) -> None:
        """Until drained."""
        while not self._draining.is_set():
            try:
                if new := changes(await self._log.read_compacted(RULES), self._rules):
                    await self._log.append(new)
            except LogUnavailableError as error:
                self._health.waiting(self.name, f"log: {error}")
                await drained_within(self._draining, self._backoff.next())
            else:
                self._health.ready(self.name)
                await self._draining.wait()
