"""A browser for the tests of the built-in page: a page with everything that it complains of, signed in through its form."""

from __future__ import annotations

import math
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import async_playwright

from compose.stack.packages import install_package
from ingest.contract.batch import Origin
from ingest.contract.events import (
    Affected,
    DeviceChange,
    DeviceState,
    GuardKind,
    GuardVerdict,
    IncidentState,
    Outcome,
)
from tests.api_records import (
    Gateway,
    account_record,
    alert_record,
    anomaly_record,
    incident_record,
    maintenance_record,
    silence_record,
)
from tests.api_rollouts import plan_record, rollback_record, verdict_record
from tests.rollup_batches import Row, all_rows, make_batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from ingest.contract.records import Outgoing
    from tests.api_centre import Centre

NORTH, SOUTH = Gateway("acme", "north"), Gateway("acme", "south")
PATIENCE_MS = 60_000
PHONE = {"width": 390, "height": 844}


def found_on_path() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def chromium() -> str:
    """Where the browser is: named in the environment, on PATH, from the system's packages, or what to install."""
    named = os.environ.get("TIDEGATE_CHROMIUM") or found_on_path()
    if not named and install_package("chromium", os.environ, print):
        named = found_on_path()
    if not named:
        pytest.fail("Chromium is missing: apt-get install chromium, or name its program in TIDEGATE_CHROMIUM")
    return named


@asynccontextmanager
async def started_browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to sandbox root
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        await browser.close()


class Watched:
    """A page with everything that it complains of and everywhere that it asks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self._complain("error", str(error)))
        page.on("dialog", lambda dialog: self._complain("dialog", dialog.message))
        page.on("request", lambda request: self.requests.append(request.url))

    async def sign_in(self, centre: Centre, path: str = "", tenant: str = "acme") -> Page:
        """Open a page of the console as somebody would from a link: the form asks for the token."""
        await self.page.goto(f"{centre.api.address}/#/{path}")
        await self.page.get_by_label("Access token").fill(centre.tokens[tenant].token)
        await self.page.keyboard.press("Enter")
        return self.page

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "dialog"):
            self.complaints.append(f"{kind}: {text}")


@asynccontextmanager
async def watched(browser: Browser, **options: Any) -> AsyncIterator[Watched]:
    context = await browser.new_context(**options)
    try:
        yield Watched(await context.new_page())
    finally:
        await context.close()


async def fill(centre: Centre, *, known: frozenset[int] = frozenset()) -> None:
    """Eight devices at north (those `known` have a history already), a dark site, a rollout under way, an alert."""
    now = centre.clock.now_ms()
    await centre.put(
        *(_new_pump(index, now) for index in range(8) if index not in known),
        NORTH.heartbeat(now, heartbeat_ms=60_000),
        SOUTH.heartbeat(now - 600_000, heartbeat_ms=1000),
        plan_record(mode="automatic", created=now - 60_000),
        *(verdict_record(at=now - 30_000 + step * 1000, log10_e=step / 25) for step in range(25)),
        alert_record(starts_at=now - 5000, changed_at=now - 5000, pending_since=now - 6000),
        account_record(),
    )
    await centre.eventually("/v1/rollouts/fw-2.3.0", lambda answer: len(answer["data"]["path"]) == 25)
    await centre.eventually("/v1/ledger", lambda answer: answer["data"]["accounts"])
    await centre.eventually("/v1/alerts", lambda answer: answer["data"])
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 8)


async def fill_richly(centre: Centre) -> None:
    """A fleet on a bad day: a failed rollout that is rolled back, incidents, alerts, an alarm on a device's series."""
    now = centre.clock.now_ms()
    await centre.put(*_history(now))
    await fill(centre, known=frozenset({1}))
    now = centre.clock.now_ms()
    guard = GuardVerdict(
        name="crash", kind=GuardKind.CRASH, log10_e_harm=1.9, log10_e_safe=-2.0, events_canary=9, events_control=0
    )
    reason = "crash: 9 of 30 devices with 2.3.0, 0 of 30 without"
    await centre.put(
        *(_pump(index, now) for index in range(120)),
        SOUTH.device("gauge-1", at=now - 700_000),
        verdict_record(outcome=Outcome.FAIL, at=now, since=now, log10_e=1.6, reason=reason, guards=[guard]),
        rollback_record(decided_at=now, at=now),
        incident_record(since=now - 400_000, at=now, newest=now, affected=_affected(now)),
        incident_record("inc-0", state=IncidentState.RESOLVED, since=now - 9_000_000, at=now, ended=now - 7_000_000),
        alert_record(
            "f2",
            name="SiteDark",
            severity="critical",
            starts_at=now - 590_000,
            changed_at=now,
            labels={"site": "south"},
            annotations={"summary": "nothing has been heard of south for 10 min"},
            numbers={"silent_s": 600.0},
        ),
        silence_record(at=now, starts_at=now, ends_at=now + 3_600_000),
        maintenance_record(at=now),
        anomaly_record("pump-1", at=now - 240_000, since=now - 600_000, value=91.5, expected=40.0),
        NORTH.dead_letter(),
    )
    batch = make_batch(list(_windows(now)), origin=Origin("acme", "north", "gw-north", "b1"))
    await centre.store.write(batch, all_rows(batch))
    await centre.eventually("/v1/incidents/inc-0", lambda answer: answer["data"])
    await centre.eventually("/v1/anomalies", lambda answer: answer["data"])
    await centre.eventually("/v1/dead-letters", lambda answer: answer["data"])
    await centre.eventually("/v1/silences", lambda answer: answer["data"])
    await centre.eventually("/v1/maintenance", lambda answer: answer["data"])
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 121)


def _affected(now: int) -> list[Affected]:
    return [
        Affected(
            site="north", device=name, metric="heap", since=now - 600_000 + later, value=91.5, expected=40.0, scale=2.0
        )
        for name, later in (("pump-1", 0), ("pump-2", 40_000))
    ]


def _history(now: int) -> list[Outgoing]:
    """How pump-1 came to what it is: seen, upgraded, rebooted."""
    before, after = {"firmware": "2.2.0"}, {"firmware": "2.3.0", "previous_firmware": "2.2.0"}
    story = (
        (2_900_000, DeviceChange.FIRST_SEEN, before),
        (1_500_000, DeviceChange.INSTALLED, after),
        (560_000, DeviceChange.REBOOTED, after | {"reboots": 1}),
    )
    return [NORTH.device("pump-1", at=now - ago, change=change, **fields) for ago, change, fields in story]


def _new_pump(index: int, now: int) -> Outgoing:
    return NORTH.device(f"pump-{index}", at=now, firmware="2.3.0" if index % 2 else "2.2.0")


def _pump(index: int, now: int) -> Any:
    if index == 1:
        fields = {"change": DeviceChange.REBOOTED, "reboots": 2, "firmware": "2.3.0", "previous_firmware": "2.2.0"}
        return NORTH.device("pump-1", at=now - 300_000, last_seen=now, clock_ahead_ms=120, hardware="rev-b", **fields)
    state = DeviceState.SILENT if index % 37 == 5 else DeviceState.ONLINE
    firmware = "2.3.0" if index % 4 == 1 else "2.2.0"
    hardware = "rev-b" if index % 12 == 1 else "rev-a"
    return NORTH.device(
        f"pump-{index}", at=now - index * 7000, state=state, firmware=firmware, hardware=hardware, reboots=index % 3
    )


def _windows(now: int) -> Any:
    first = (now // 10_000 - 300) * 10_000
    for step in range(300):
        high = 45.0 if 240 <= step < 276 else 0.0
        for metric, middle, swing in (("heap", 40.0 + high, 3.0), ("temperature", 21.5, 1.2)):
            mean = middle + swing * math.sin(step / 19) + math.sin(step * 2.4) * swing / 5
            yield Row(
                device="pump-1",
                metric=metric,
                start=first + step * 10_000,
                values=(mean - swing / 2, mean, mean + swing / 2),
            )
