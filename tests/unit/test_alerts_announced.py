"""Rules are told to whoever shows alerts: once, when they are not as before, and when they are no more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from analytics.alerts.announced import Announcer, changes, rules_now
from analytics.alerts.config import AlertsConfig, RuleConfig
from analytics.rules.kinds import Scope, Threshold
from analytics.surroundings import Surroundings
from ingest.contract.events import RuleEvent
from ingest.contract.records import read_event
from ingest.contract.topics import RULES, every_topic
from ingest.runtime.clock import ManualClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.service import run_until
from ingest.runtime.telemetry import Telemetry
from tests.api_centre import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOT = Threshold(name="TooHot", metric="temp", above=90.0, hold="5m", severity="error", where=Scope(site="their-site"))


@pytest.fixture
async def within(tmp_path: Path) -> AsyncIterator[Surroundings]:
    clock, telemetry = ManualClock(), Telemetry("test")
    log = SqliteLog(tmp_path / "log.db", clock)
    await log.ensure_topics(every_topic())
    yield Surroundings(clock, log, Health(), telemetry, tmp_path)
    await log.close()
    telemetry.close()


async def told(within: Surroundings, config: AlertsConfig, *written: Threshold) -> dict[str, RuleEvent]:
    """What the topic says after such a process has started and ended."""
    stop = asyncio.Event()
    run = asyncio.create_task(run_until([Announcer(config, written, within)], stop))

    async def settled() -> bool:
        known = await within.log.read_compacted(RULES)
        return not changes(known, list(rules_now(config, written, 0)))

    await until(settled, "rules")
    stop.set()
    await run
    found = [read_event(one, RuleEvent) for one in (await within.log.read_compacted(RULES)).values()]
    return {one.name: one for one in found if one is not None}


async def test_rules_are_told_once_and_again_when_they_are_not_as_before(within: Surroundings) -> None:
    assert isinstance(within.clock, ManualClock)
    first = await told(within, AlertsConfig(), HOT)
    assert len(first) == 7
    hot = first["TooHot"]
    assert (hot.kind, hot.severity, hot.for_s, hot.metric, hot.built_in) == ("threshold", "error", 300.0, "temp", False)
    assert first["LedgerBreach"].for_s == 60.0
    assert not any("their-site" in repr(rule) for rule in first.values()), "whom it is about is not told"
    within.clock.advance(60.0)
    assert await told(within, AlertsConfig(), HOT) == first, "the same again writes nothing"
    second = await told(within, AlertsConfig(device_silent=RuleConfig(enabled=False)))
    assert "TooHot" not in second, "a rule that is no more is forgotten"
    assert (second["DeviceSilent"].enabled, second["DeviceSilent"].at - first["DeviceSilent"].at) == (False, 60_000)
    assert second["SiteDark"] == first["SiteDark"]
