"""The built-in page in a real browser: asks for a token, shows the fleet live, and is harmless whatever a device is called."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from playwright.async_api import async_playwright, expect

from compose.stack.packages import install_package
from ingest.contract.events import AlertState, DeviceEvent, DeviceState, GuardKind, GuardVerdict, Outcome, RollbackPhase
from tests.api_centre import (
    Centre,
    Gateway,
    account_record,
    alert_record,
    plan_record,
    rollback_record,
    running,
    verdict_record,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.servers

NORTH, SOUTH = Gateway("acme", "north"), Gateway("acme", "south")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`${alert(3)}"
PATIENCE_MS = 30_000
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

    def _complain(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "dialog"):
            self.complaints.append(f"{kind}: {text}")


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to sandbox root
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        await browser.close()


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=5_000)


@asynccontextmanager
async def watched(browser: Browser, **options: Any) -> AsyncIterator[Watched]:
    context = await browser.new_context(**options)
    try:
        yield Watched(await context.new_page())
    finally:
        await context.close()


def link(centre: Centre, more: str = "") -> str:
    return f"{centre.api.address}/#token={centre.tokens['acme'].token}{more}"


async def fill(centre: Centre) -> None:
    now = centre.clock.now_ms()
    await centre.put(
        *(NORTH.device(f"pump-{index}", at=now, firmware="2.3.0" if index % 2 else "2.2.0") for index in range(8)),
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


async def test_it_asks_for_a_token_and_takes_no_wrong_one(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    async with watched(browser) as seen:
        page = seen.page
        await page.goto(centre.api.address)
        await expect(page.get_by_label("Access token")).to_be_focused()
        await page.keyboard.type("nonsense")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("send a known token")
        await page.keyboard.type(centre.tokens["acme"].token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#link-text")).to_have_text("live")
        await expect(page.locator("#figures")).to_contain_text("8 of 8")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Access token")).to_be_visible()
        assert await page.evaluate("sessionStorage.length") == 0
        assert "pump-" not in await page.content()


async def test_a_token_in_the_fragment_leaves_the_address_at_once(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    async with watched(browser) as seen:
        await seen.page.goto(link(centre, "&rollout=fw-2.3.0"))
        await expect(seen.page.locator("#link-text")).to_have_text("live")
        assert seen.page.url == f"{centre.api.address}/#rollout=fw-2.3.0"
        await seen.page.reload()
        await expect(seen.page.locator("#link-text")).to_have_text("live")
        token = centre.tokens["acme"].token
        assert not any(token in url.partition("#")[0] for url in seen.requests)
        assert seen.complaints == []


async def test_everything_is_shown_and_stays_live(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    async with watched(browser) as seen:
        page = seen.page
        await page.goto(link(centre))
        figures, rollout = page.locator("#figures"), page.locator(".rollout")
        await expect(figures).to_contain_text("8 of 8")
        await expect(figures).to_contain_text("dark: south")
        await expect(page.locator("#sites")).to_contain_text("nothing heard for 10 min")
        await expect(rollout.get_by_role("heading")).to_have_text("fw-2.3.0")
        await expect(rollout).to_contain_text("Undecided")
        await expect(rollout.get_by_role("img")).to_have_attribute("aria-label", re.compile("the e-value is 9.12"))
        await expect(page.locator("#alerts")).to_contain_text("heap is above what is usual")
        await expect(page.locator("#alerts")).to_contain_text("value 91.5")
        await expect(page.locator("#ledger")).to_contain_text("balanced")
        await expect(page.locator("#devices tr")).to_have_count(8)

        now = centre.clock.now_ms()
        guards = [
            GuardVerdict(
                name="crash",
                kind=GuardKind.CRASH,
                log10_e_harm=1.9,
                log10_e_safe=-2.0,
                events_canary=9,
                events_control=0,
            )
        ]
        await centre.put(
            NORTH.device("pump-1", at=now + 1, state=DeviceState.SILENT),
            verdict_record(outcome=Outcome.FAIL, at=now, log10_e=1.6, reason="crash: 9 of 30", guards=guards),
            rollback_record(decided_at=now, at=now),
            alert_record(state=AlertState.RESOLVED, starts_at=now - 9000, changed_at=now, ends_at=now),
        )
        await expect(figures).to_contain_text("1 silent")
        await expect(rollout).to_contain_text("Fail")
        await expect(rollout).to_contain_text("crash: 9 of 30")
        await expect(rollout).to_contain_text("Rolling back")
        await expect(rollout.locator(".legend")).to_have_text(
            "1 on the old version, recovering1 unreachable1 under way"
        )
        await expect(page.locator("#no-alerts")).to_be_visible()
        await expect(page.locator("#resolved summary")).to_have_text("1 alert resolved")
        await page.get_by_label("State").select_option("silent")
        await expect(page.locator("#devices")).to_have_text(re.compile("^pump-1north"))

        done = ["north/a", "north/b"]
        await centre.put(
            rollback_record(decided_at=now, at=now, phase=RollbackPhase.COMPLETE, done=done, recovered=done)
        )
        await expect(rollout).to_contain_text("Rollback complete")
        await expect(rollout.locator(".legend")).to_have_text("2 recovered1 unreachable")
        assert seen.complaints == []
        assert {url for url in seen.requests if not url.startswith(centre.api.address + "/")} == set()


async def test_many_alerts_of_one_name_are_one_line_to_open(centre: Centre, browser: Browser) -> None:
    now = centre.clock.now_ms()
    numbers = {"silent_s": 7.25, "last_seen_ms": float(now)}
    await centre.put(
        *(alert_record(f"s{index}", name="DeviceSilent", starts_at=now, numbers=numbers) for index in range(40)),
        alert_record("one", name="SiteDark", severity="critical", starts_at=now),
    )
    await centre.eventually("/v1/alerts", lambda answer: len(answer["data"]) == 41)
    async with watched(browser) as seen:
        page = seen.page
        await page.goto(link(centre))
        await expect(page.locator("#alerts > li")).to_have_count(2)
        await expect(page.locator("#alerts > li").first).to_contain_text("SiteDark")
        group = page.locator("#alerts summary")
        await expect(group).to_contain_text(re.compile("40 .+DeviceSilent"))
        await group.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#alerts .members > li")).to_have_count(40)
        await expect(page.locator("#alerts .members > li").first).to_contain_text("silent 7.25 s")
        assert seen.complaints == []


async def test_names_are_only_ever_text(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    now = centre.clock.now_ms()
    await centre.put(
        NORTH.device("hostile", at=now, firmware=HOSTILE, hardware=HOSTILE, group=HOSTILE),
        NORTH.sign("north/x", _named(HOSTILE)),
        alert_record(
            "h", name=HOSTILE, labels={"device": HOSTILE}, annotations={"summary": HOSTILE}, numbers={HOSTILE: 1}
        ),
        plan_record("h", release=HOSTILE, previous_release=HOSTILE),
        verdict_record("h", reason=HOSTILE),
    )
    await centre.eventually("/v1/rollouts/h", lambda answer: "verdict" in answer["data"])
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 10)
    async with watched(browser) as seen:
        await seen.page.goto(link(centre))
        await expect(seen.page.locator("#devices")).to_contain_text(HOSTILE)
        await expect(seen.page.locator("#alerts")).to_contain_text(HOSTILE)
        await expect(seen.page.locator("#rollouts")).to_contain_text(HOSTILE)
        assert await seen.page.locator("main img, main script").count() == 0
        assert seen.complaints == []


def _named(name: str) -> DeviceEvent:
    event = msgspec.json.decode(NORTH.device("x").value or b"", type=DeviceEvent)
    return msgspec.structs.replace(event, device=name)


async def test_the_policy_forbids_what_the_page_does_not_do(centre: Centre, browser: Browser) -> None:
    async with watched(browser) as seen:
        await seen.page.goto(centre.api.address)
        inline = await seen.page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken'; } catch (error) { return error.name; } }"
        )
        assert inline == "TypeError", "Trusted Types refuse text as markup"
        fetched = await seen.page.evaluate("() => fetch('http://127.0.0.1:9/').then(() => 'taken', () => 'refused')")
        assert fetched == "refused"
        assert any("Content Security Policy" in complaint for complaint in seen.complaints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_shows_all_of_it_in_both_schemes(centre: Centre, browser: Browser, scheme: Any) -> None:
    await fill(centre)
    async with watched(browser, viewport=PHONE, color_scheme=scheme) as seen:
        page = seen.page
        await page.goto(link(centre))
        await expect(page.locator("#devices tr")).to_have_count(8)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in re.findall(r"\d+", colour)[:3])
        assert (brightness > 600) == (scheme == "light")


async def test_a_large_fleet_stays_a_short_list_that_is_searched(centre: Centre, browser: Browser) -> None:
    for start in range(0, 3000, 500):
        await centre.put(*(SOUTH.device(f"gauge-{index:04d}") for index in range(start, start + 500)))
    await centre.eventually("/v1/fleet", lambda answer: answer["data"]["devices"] == 3000)
    async with watched(browser) as seen:
        page = seen.page
        await page.goto(link(centre))
        await expect(page.locator("#figures")).to_contain_text("3,000 of 3,000")
        await expect(page.locator("#devices tr")).to_have_count(25)
        await page.get_by_label("Search").fill("e-1234")
        await expect(page.locator("#devices tr")).to_have_count(1)
        await expect(page.locator("#device-count")).to_have_text("1 device")
        assert seen.complaints == []


async def test_a_lost_connection_is_said_and_found_again(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    async with watched(browser) as seen:
        page = seen.page
        await page.goto(link(centre))
        await expect(page.locator("#link-text")).to_have_text("live")
        await page.route("**/v1/events", lambda route: route.abort())
        for subscription in centre.api._context.hub._subscriptions:
            subscription.close()
        await expect(page.locator("#link-text")).to_have_text("reconnecting")
        await expect(page.locator("#figures")).to_contain_text("8 of 8")
        await page.unroute("**/v1/events")
        await expect(page.locator("#link-text")).to_have_text("live")
