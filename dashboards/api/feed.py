"""Keeps the views up to date: reads every topic to its end and stays there."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from dashboards.api.measures import API_RECORDS
from dashboards.api.projection import TOPICS, Subject
from ingest.contract.names import WORKER_LAG
from ingest.runtime.backoff import Backoff
from ingest.runtime.draining import drained_within
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dashboards.api.hub import Hub
    from dashboards.api.projection import Projection
    from dashboards.api.sites import SiteState
    from ingest.contract.records import Record, TopicPartition
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log
    from ingest.runtime.telemetry import Telemetry

PART = "api.feed"
MAX_RECORDS = 500
SLICE = 25
"""Records applied before others get their turn: verifying one signature takes about a tenth of a millisecond."""
POLL_S = 0.2
QUIET_POLLS = 5


class Feed:
    """Reads the topics without a group: every API process has its own whole view."""

    def __init__(
        self,
        projection: Projection,
        hub: Hub,
        *,
        log: Log,
        clock: Clock,
        health: Health,
        telemetry: Telemetry,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`settled` is called whenever everything has been read."""
        self._projection, self._hub, self._log = projection, hub, log
        self._clock, self._health, self._telemetry = clock, health, telemetry
        self._draining = asyncio.Event()
        self._backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret
        self._positions: dict[TopicPartition, int] = {}
        self._site_states: dict[Subject, SiteState] = {}
        self._caught_up, self._settled = False, settled
        health.waiting(PART, "has not read the topics yet")

    def drain(self) -> None:
        """Let `run` return."""
        self._draining.set()

    async def run(self) -> None:
        """Until drained; while the log is away the views stay as they are and /readyz says why."""
        while not self._draining.is_set():
            try:
                await self._run_connected()
            except LogUnavailableError as error:
                self._caught_up = False
                self._health.waiting(PART, f"log: {error}")
                await drained_within(self._draining, self._backoff.next())

    async def _run_connected(self) -> None:
        consumer = await self._log.subscribe(TOPICS, group=None, member="api", resume=self._positions.get)
        try:
            ends, quiet = await consumer.end_offsets(), 0
            while not self._draining.is_set():
                records = await consumer.poll(MAX_RECORDS, POLL_S)
                quiet = 0 if records else quiet + 1
                await self._take(records)
                self._note_progress(consumer, ends, quiet)
                self._tell_dark_sites()
        finally:
            await consumer.close()

    async def _take(self, records: Sequence[Record]) -> None:
        for start in range(0, len(records), SLICE):
            for record in records[start : start + SLICE]:
                self._apply(record)
            await asyncio.sleep(0)
        if records:
            newest = max(record.timestamp for record in records)
            self._telemetry.gauge(WORKER_LAG, max(0, self._clock.now_ms() - newest) / 1000, worker="api")

    def _apply(self, record: Record) -> None:
        applied = self._projection.apply(record)
        self._positions[record.topic_partition] = record.offset + 1
        self._telemetry.count(API_RECORDS, topic=record.topic, outcome=applied.outcome)
        if applied.subject and applied.outcome == "taken":
            self._hub.publish(applied.subject)

    def _note_progress(self, consumer: Consumer, ends: dict[TopicPartition, int], quiet: int) -> None:
        if self._caught_up:
            return
        behind = sum(max(0, end - self._positions.get(p, 0)) for p, end in ends.items() if p in consumer.assigned())
        # The last offsets of a topic may be gone (expired): then only quiet tells that there is nothing more.
        if behind and quiet < QUIET_POLLS:
            self._health.waiting(PART, f"catching up: about {behind} records to read")
            return
        self._caught_up = True
        for view in self._projection.views():
            view.devices.prepare()
        self._settled()
        self._health.ready(PART)
        self._backoff.reset()

    def _tell_dark_sites(self) -> None:
        # A site goes dark by time alone: no record says so.
        now = self._clock.now_ms()
        for view in self._projection.views():
            for (site, gateway), state in view.gateway_states(now).items():
                known = Subject(view.tenant, site, gateway)
                if self._site_states.get(known) != state:
                    self._site_states[known] = state
                    self._hub.publish(Subject(view.tenant, "site", site))
