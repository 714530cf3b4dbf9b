"""The pages behind the first one in a real browser: incidents, alerts, a device, the pipeline; keyboard, colours, tabs that share a stream, and a check of accessibility."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from dashboards.api.auth import new_token
from dashboards.api.config import Scope, TokenConfig
from tests.api_centre import Centre, running
from tests.console_browser import NORTH, PHONE, SOUTH, fill_richly, watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

    from tests.console_browser import Watched

pytestmark = [
    pytest.mark.servers("chromium"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("patience"),
]

PAGES = ("", "incidents", "alerts", "rollouts", "pipeline", "devices/north/pump-1")
READ_TOO = {"": "#devices tr", "devices/north/pump-1": "#charts canvas", "pipeline": "#dead tr"}
"""What a page shows last."""
AXE = Path(__file__).parent / "axe" / "axe.min.js"
READER = new_token()


class Rich(Centre):
    """Also with a token that may only read."""

    def _token_configs(self) -> list[TokenConfig]:
        self.tokens["reader"] = READER
        reader = TokenConfig(name="reader", tenant="acme", sha256=READER.sha256, scopes=[Scope.READ])
        return [TokenConfig(name="all", tenant="acme", sha256=self.tokens["acme"].sha256, scopes=list(Scope)), reader]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def centre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Centre]:
    async with running(Rich(tmp_path_factory.mktemp("centre"), [NORTH, SOUTH])) as started:
        await fill_richly(started)
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def seen(browser: Browser) -> AsyncIterator[Watched]:
    async with watched(browser) as page:
        yield page


async def whole(page: Page, path: str) -> None:
    """Wait until the page shows everything."""
    await expect(page.locator("#link-text")).to_have_text("live")
    if path in READ_TOO:
        await expect(page.locator(READ_TOO[path]).first).to_be_visible()


async def test_two_clicks_lead_from_the_address_to_the_page_that_explains_the_failed_rollout(
    centre: Centre, seen: Watched
) -> None:
    page = seen.page
    await page.goto(centre.api.address)
    await page.get_by_label("Access token").fill(centre.tokens["acme"].token)
    await page.get_by_role("button", name="Open").click()
    await page.locator("#attention").get_by_role("link", name="fw-2.3.0").click()
    await expect(page.locator(".rollout .reason")).to_have_text("crash: 9 of 30 devices with 2.3.0, 0 of 30 without")
    await expect(page.locator(".rollout .guards")).to_contain_text("crash")
    assert seen.complaints == []


async def test_an_incident_says_what_the_affected_share_and_leads_to_the_device_at_that_time(
    centre: Centre, seen: Watched
) -> None:
    page = await seen.sign_in(centre, "incidents/inc-1")
    card = page.locator(".incident").first
    await expect(card).to_contain_text("heap high on 2 devices at north")
    await expect(card.locator("table").first).to_contain_text(re.compile(r"hardware rev-b100 %8 %6.3 . 10⁻⁵"))
    await expect(card.locator("tr.root")).to_contain_text("heap high")
    await card.get_by_role("link", name="north / pump-1").click()
    await expect(page.locator("#device-title")).to_have_text("north / pump-1")
    assert re.search(r"#/devices/north/pump-1\?from=\d+&to=\d+$", page.url)
    assert seen.complaints == []


async def test_a_device_shows_its_series_and_what_happened_in_the_time_range_of_its_link(
    centre: Centre, seen: Watched
) -> None:
    page = await seen.sign_in(centre, "devices/north/pump-1")
    await expect(page.locator("#charts figure")).to_have_count(2)
    await expect(page.locator("#charts canvas")).to_have_count(2)
    await expect(page.locator("#charts figure").first).to_have_attribute("aria-label", re.compile("heap: .* 1 alarm"))
    happened = page.locator("#happened")
    await expect(happened).to_contain_text("heap high on 2 devices")
    await expect(happened).to_contain_text("2.2.0 → 2.3.0")
    await expect(happened).to_contain_text("2 reboots in all")
    await expect(happened.get_by_role("link", name="fw-2.3.0").first).to_have_attribute("href", "#/rollouts/fw-2.3.0")
    await expect(page.locator("#device-facts")).to_contain_text("Firmware2.3.0")
    await whole(page, "devices/north/pump-1")
    await page.get_by_role("button", name="15 min").click()
    assert page.url.endswith("?span=900000")
    await page.reload()
    await expect(page.get_by_role("button", name="15 min")).to_have_attribute("aria-pressed", "true")
    assert seen.complaints == []


async def test_raw_samples_that_cannot_be_had_are_said_so(centre: Centre, seen: Watched) -> None:
    page = await seen.sign_in(centre, "devices/north/pump-1", tenant="reader")
    await whole(page, "devices/north/pump-1")
    await page.get_by_role("button", name="Ask the gateway").click()
    await expect(page.locator("#raw-state")).to_contain_text("This token may not ask for samples")
    await expect(page.get_by_role("button", name="Ask the gateway")).to_be_enabled()


async def test_the_pipeline_shows_lag_accounts_and_dead_letters(centre: Centre, seen: Watched) -> None:
    page = await seen.sign_in(centre, "pipeline")
    await expect(page.locator("#accounts tr").first).to_contain_text(re.compile(r"south / gw-south.*dark.*min"))
    await expect(page.locator("#accounts tr").last).to_contain_text("balanced")
    await expect(page.locator("#dead tr")).to_contain_text("malformed")
    assert seen.complaints == []


async def test_an_alert_is_silenced_and_the_silence_ended(centre: Centre, seen: Watched) -> None:
    page = await seen.sign_in(centre, "alerts")
    entry = page.locator("#alerts > li", has_text="SiteDark")
    silences = page.locator("#silences > li")
    await expect(silences).to_have_count(1)
    await entry.get_by_role("button", name="Silence…").click()
    await page.locator("#silence-hours").select_option("8 h")
    await page.locator("#silence-comment").fill("the mast is being painted")
    await page.get_by_role("dialog").get_by_role("button", name="Silence", exact=True).click()
    mine = silences.filter(has_text="alertname = SiteDark")
    await expect(mine).to_contain_text("site = south")
    await expect(mine).to_contain_text("the mast is being painted")
    await mine.get_by_role("button", name="End").click()
    await expect(silences).to_have_count(1)
    await entry.get_by_role("button", name="Acknowledge").click()
    await expect(page.locator("#alert-complaint")).to_be_empty()
    assert seen.complaints == []


async def test_a_maintenance_window_is_shown_with_its_hours_and_ended(centre: Centre, seen: Watched) -> None:
    page = await seen.sign_in(centre, "alerts")
    windows = page.locator("#maintenance > li")
    await expect(windows).to_have_count(1)
    await expect(windows).to_contain_text("site = north")
    await expect(windows).to_contain_text("sat, sun at 02:00 Europe/Berlin for 2 h")
    await expect(windows).to_contain_text("updates of the mast")
    async with centre.client() as client:
        matchers = [{"label": "site", "pattern": "south"}]
        hours = {"begins": "00:00", "lasts_s": 7 * 86_400, "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
        (await client.post("/v1/maintenance", json={"matchers": matchers, "hours": hours})).raise_for_status()
    mine = windows.filter(has_text="site = south")
    await expect(mine).to_contain_text("open")
    await expect(mine).to_contain_text("daily at 00:00 UTC for 7 d")
    await mine.get_by_role("button", name="End").click()
    await expect(windows).to_have_count(1)
    assert seen.complaints == []


async def test_what_a_token_may_not_do_is_said_in_words(centre: Centre, seen: Watched) -> None:
    page = await seen.sign_in(centre, "alerts", tenant="reader")
    await page.locator("#alerts > li").first.get_by_role("button", name="Acknowledge").click()
    await expect(page.locator("#alert-complaint")).to_contain_text("This token may not do that")


async def test_the_keyboard_reaches_everything(centre: Centre, seen: Watched) -> None:
    page = await seen.sign_in(centre)
    await whole(page, "")
    for key, title in (("i", "Incidents"), ("a", "Alerts"), ("r", "Rollouts"), ("p", "Pipeline"), ("f", "Fleet")):
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await expect(page).to_have_title(f"{title} · tidegate")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Search devices")
    await page.keyboard.press("Escape")
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search")).to_be_focused()
    await page.reload()
    await page.keyboard.press("Tab")
    await expect(page.locator("#skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    assert seen.complaints == []


async def test_colours_are_chosen_and_kept(centre: Centre, browser: Browser) -> None:
    async with watched(browser, color_scheme="light") as seen:
        page = await seen.sign_in(centre)
        scheme = "getComputedStyle(document.documentElement).colorScheme"
        for _ in range(2):  # auto, light, dark
            await page.locator("#theme").click()
        assert await page.evaluate(scheme) == "dark"
        await page.reload()
        assert await page.evaluate(scheme) == "dark"


async def test_all_tabs_share_one_stream(centre: Centre, browser: Browser) -> None:
    hub = centre.api._context.hub
    async with watched(browser) as seen:
        first = await seen.sign_in(centre)
        await whole(first, "")
        before = len(hub)
        second = await seen.page.context.new_page()
        await second.goto(centre.api.address)
        await second.get_by_label("Access token").fill(centre.tokens["acme"].token)
        await second.keyboard.press("Enter")
        await expect(second.locator("#figures")).to_contain_text("of 121")
        await expect(second.locator("#link-text")).to_have_text("live")
        assert len(hub) == before
        await first.close()
        await centre.put(NORTH.device("late", at=centre.clock.now_ms()))
        await expect(second.locator("#figures")).to_contain_text("of 122")
        await centre.put(NORTH.device("late", at=centre.clock.now_ms(), change="retired", state="retired"))


@pytest.mark.parametrize(("scheme", "viewport"), [("light", {"width": 1280, "height": 860}), ("dark", PHONE)])
async def test_axe_finds_nothing_on_any_page(
    centre: Centre, browser: Browser, tmp_path: Path, scheme: Any, viewport: Any
) -> None:
    """Takes the pictures of the documents, too: into the folder that TIDEGATE_PICTURES names."""
    folder = Path(os.environ.get("TIDEGATE_PICTURES") or tmp_path)
    async with watched(browser, color_scheme=scheme, viewport=viewport) as seen:
        page = await seen.sign_in(centre)
        await page.evaluate(AXE.read_text("utf-8"))
        for path in PAGES:
            await page.evaluate("path => { location.hash = `#/${path}`; }", path)
            await whole(page, path)
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert await _found_by_axe(page) == [], path
            name = f"console-{path.partition('/')[0] or 'fleet'}-{scheme}.png"
            await page.screenshot(path=folder / name, animations="disabled")
            assert (folder / name).stat().st_size > 10_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_the_form_and_in_the_dialogs(centre: Centre, browser: Browser, scheme: Any) -> None:
    async with watched(browser, color_scheme=scheme) as seen:
        page = seen.page
        await page.goto(f"{centre.api.address}/#/alerts")
        await expect(page.get_by_label("Access token")).to_be_focused()
        await page.evaluate(AXE.read_text("utf-8"))
        assert await _found_by_axe(page) == []
        await seen.sign_in(centre, "alerts")
        await page.locator("#alerts > li").first.get_by_role("button", name="Silence…").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await _found_by_axe(page) == []
        await page.get_by_role("button", name="Cancel").click()
        await page.locator("#keys").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await _found_by_axe(page) == []


async def _found_by_axe(page: Page) -> list[str]:
    found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{one['id']}: {node['html'][:150]}" for one in found["violations"] for node in one["nodes"][:4]]
