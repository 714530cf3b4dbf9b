"""The built-in page in a real browser: asks for a token, shows the fleet live, and is harmless whatever a device is called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import expect

from ingest.contract.events import AlertState, DeviceEvent, DeviceState, GuardKind, GuardVerdict, Outcome, RollbackPhase
from tests.api_centre import Centre, running
from tests.api_records import alert_record
from tests.api_rollouts import plan_record, rollback_record, verdict_record
from tests.console_browser import NORTH, PHONE, SOUTH, fill, watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

pytestmark = [
    pytest.mark.servers("chromium"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("patience"),
]

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`${alert(3)}"


@pytest_asyncio.fixture(loop_scope="module")
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        yield started


async def test_it_asks_for_a_token_and_takes_no_wrong_one(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    async with watched(browser) as seen:
        page = seen.page
        await page.goto(centre.api.address)
        await expect(page.get_by_label("Access token")).to_be_focused()
        await page.keyboard.type("nonsense")
        await page.keyboard.press("Enter")
        await expect(page.locator("#complaint")).to_contain_text("the token is not known here")
        await page.keyboard.type(centre.tokens["acme"].token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#link-text")).to_have_text("live")
        await expect(page.locator("#figures")).to_contain_text("8 of 8")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Access token")).to_be_visible()
        assert await page.evaluate("sessionStorage.length") == 0
        assert "pump-" not in await page.content()


async def test_no_address_ever_holds_a_token_and_a_link_leads_through_the_form_to_its_page(
    centre: Centre, browser: Browser
) -> None:
    await fill(centre)
    token = centre.tokens["acme"].token
    async with watched(browser) as seen:
        await seen.page.goto(f"{centre.api.address}/#token={token}")
        await expect(seen.page.get_by_label("Access token")).to_be_visible()  # a token in an address opens nothing
        await seen.page.goto("about:blank")
        page = await seen.sign_in(centre, "rollouts/fw-2.3.0")
        await expect(page.locator("#link-text")).to_have_text("live")
        await expect(page.locator(".rollout")).to_be_visible()
        assert page.url == f"{centre.api.address}/#/rollouts/fw-2.3.0"
        await page.reload()
        await expect(page.locator("#link-text")).to_have_text("live")
        assert not any(token in url.partition("#")[0] for url in seen.requests)
        assert seen.complaints == []


async def test_everything_is_shown_and_stays_live(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    async with watched(browser) as seen:
        page = await seen.sign_in(centre)
        figures, rollout = page.locator("#figures"), page.locator(".rollout")
        await expect(figures).to_contain_text("8 of 8")
        await expect(figures).to_contain_text("dark: south")
        await expect(page.locator("#sites")).to_contain_text("nothing heard for 10 min")
        await expect(page.locator("#devices tr")).to_have_count(8)
        await page.get_by_role("link", name="Rollouts").click()
        await expect(rollout.get_by_role("heading")).to_have_text("fw-2.3.0")
        await expect(rollout).to_contain_text("Undecided")
        await expect(rollout.get_by_role("img")).to_have_attribute("aria-label", re.compile("the e-value is 9.12"))
        await page.get_by_role("link", name="Alerts").click()
        await expect(page.locator("#alerts")).to_contain_text("heap is above what is usual")
        await expect(page.locator("#alerts")).to_contain_text("value 91.5")
        await page.get_by_role("link", name="Pipeline").click()
        await expect(page.locator("#ledger")).to_contain_text("balanced")
        await page.get_by_role("link", name="Rollouts").click()

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
        await expect(rollout).to_contain_text("Fail")
        await expect(rollout).to_contain_text("crash: 9 of 30")
        await expect(rollout).to_contain_text("Rolling back")
        await expect(rollout.locator(".legend")).to_have_text(
            "1 on the old version, recovering1 unreachable1 under way"
        )
        await page.get_by_role("link", name="Alerts").click()
        await expect(page.locator("#no-alerts")).to_be_visible()
        await expect(page.locator("#resolved summary")).to_have_text("1 alert resolved")
        await page.get_by_role("link", name="Fleet").click()
        await expect(figures).to_contain_text("1 silent")
        await page.get_by_label("State").select_option("silent")
        await expect(page.locator("#devices")).to_have_text(re.compile("^pump-1north"))

        await page.get_by_role("link", name="Rollouts").click()
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
        page = await seen.sign_in(centre, "alerts")
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
        await seen.sign_in(centre)
        await expect(seen.page.locator("#devices")).to_contain_text(HOSTILE)
        await seen.page.locator("#devices tr", has_text=HOSTILE).get_by_role("link").first.click()
        await expect(seen.page.locator("#device-title")).to_be_visible()
        await seen.page.get_by_role("link", name="Alerts").click()
        await expect(seen.page.locator("#alerts")).to_contain_text(HOSTILE)
        await seen.page.get_by_role("link", name="Rollouts").click()
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
        page = await seen.sign_in(centre)
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
        page = await seen.sign_in(centre)
        await expect(page.locator("#figures")).to_contain_text("3,000 of 3,000")
        rows = page.locator("#devices tr")
        await expect(rows.first).to_contain_text("gauge-0000")
        for known in (400, 600, 800):  # rows are read as they come into sight, and few are ever drawn
            await expect(page.locator("#device-count")).to_contain_text(f"{known} read so far")
            assert await rows.count() < 60
            await page.locator("#rows-frame").evaluate("frame => frame.scrollTo(0, frame.scrollHeight)")
        await expect(rows.first).to_contain_text(re.compile("gauge-0[789]"))
        await page.get_by_label("Search").fill("e-1234")
        await expect(page.locator("#devices tr")).to_have_count(1)
        await expect(page.locator("#device-count")).to_have_text("1 device")
        assert seen.complaints == []


async def test_a_lost_connection_is_said_and_found_again(centre: Centre, browser: Browser) -> None:
    await fill(centre)
    async with watched(browser) as seen:
        page = await seen.sign_in(centre)
        await expect(page.locator("#link-text")).to_have_text("live")
        centre.api._context.hub.closed = True  # nobody is let in again
        for subscription in tuple(centre.api._context.hub._subscriptions):
            subscription.close()
        await expect(page.locator("#link-text")).to_have_text("reconnecting")
        await expect(page.locator("#figures")).to_contain_text("8 of 8")
        centre.api._context.hub.closed = False
        await expect(page.locator("#link-text")).to_have_text("live")
