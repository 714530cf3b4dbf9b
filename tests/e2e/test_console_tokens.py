"""The console and its token in a real browser: expired, foreign, too little; and a browser without shared workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from dashboards.api.auth import new_token
from dashboards.api.config import Scope, TokenConfig
from ingest.runtime.clock import ManualClock
from tests.api_centre import Centre, running
from tests.console_browser import NORTH, SOUTH, fill, watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

pytestmark = [
    pytest.mark.servers("chromium"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("patience"),
]

LASTS_S = 3600


class Visited(Centre):
    """Also with a token that expires, and with one that may not read."""

    def _token_configs(self) -> list[TokenConfig]:
        known = super()._token_configs()
        expires = self.clock.now_ms() + LASTS_S * 1000
        for name, scopes, end in (("visitor", [Scope.READ], expires), ("scraper", [Scope.METRICS], 0)):
            self.tokens[name] = made = new_token()
            known.append(TokenConfig(name=name, tenant="acme", sha256=made.sha256, scopes=scopes, expires=end))
        return known


@pytest_asyncio.fixture(loop_scope="module")
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Visited(tmp_path, [NORTH, SOUTH], clock=ManualClock())) as started:
        await fill(started)
        yield started


async def test_a_token_that_expires_while_the_page_is_open_leads_back_to_the_form_with_the_reason(
    centre: Centre, browser: Browser
) -> None:
    async with watched(browser) as seen:
        page = await seen.sign_in(centre, tenant="visitor")
        await expect(page.locator("#link-text")).to_have_text("live")
        await expect(page.locator("#figures")).to_contain_text("8 of 8")
        assert isinstance(centre.clock, ManualClock)
        centre.clock.advance(LASTS_S + 60)
        await centre.put(
            NORTH.device("pump-1", at=centre.clock.now_ms())
        )  # the stream has something to tell, and does not
        await expect(page.get_by_label("Access token")).to_be_visible()
        await expect(page.locator("#complaint")).to_contain_text("expired")
        assert "pump-" not in await page.content()
        await page.get_by_label("Access token").fill(centre.tokens["acme"].token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#figures")).to_contain_text("8 of 8")


async def test_another_tenants_token_shows_nothing_of_this_one(centre: Centre, browser: Browser) -> None:
    async with watched(browser) as seen:
        page = await seen.sign_in(centre, "devices/north/pump-1", tenant="other")
        await expect(page.locator("#device-complaint")).to_have_text("No such device is known.")
        await page.get_by_role("link", name="Fleet").click()
        await expect(page.locator("#figures")).to_contain_text("0 of 0")
        await expect(page.locator("#tenant")).to_have_text("other")
        assert "pump-" not in await page.locator("main").inner_text()


async def test_a_token_that_may_not_read_is_told_so_at_the_form(centre: Centre, browser: Browser) -> None:
    async with watched(browser) as seen:
        page = await seen.sign_in(centre, tenant="scraper")
        await expect(page.locator("#complaint")).to_contain_text("lacks the scope read")
        await expect(page.get_by_label("Access token")).to_be_focused()


async def test_a_browser_without_shared_workers_follows_by_itself_and_goes_on_where_it_was_cut_off(
    centre: Centre, browser: Browser
) -> None:
    hub = centre.api._context.hub
    async with watched(browser) as seen:
        await seen.page.context.add_init_script("delete globalThis.SharedWorker")
        page = await seen.sign_in(centre)
        await expect(page.locator("#link-text")).to_have_text("live")
        second = await page.context.new_page()
        await second.goto(centre.api.address)
        await second.get_by_label("Access token").fill(centre.tokens["acme"].token)
        await second.keyboard.press("Enter")
        await expect(second.locator("#link-text")).to_have_text("live")
        assert len(hub) == 2
        await centre.put(NORTH.device("late", at=centre.clock.now_ms()))
        for one in (page, second):
            await expect(one.locator("#figures")).to_contain_text("9 of 9")
        async with page.expect_request("**/v1/events*") as asked:
            for subscription in tuple(hub._subscriptions):
                subscription.close()
        assert (await (await asked.value).all_headers())["last-event-id"]
        await centre.put(NORTH.device("later", at=centre.clock.now_ms()))
        for one in (page, second):
            await expect(one.locator("#figures")).to_contain_text("10 of 10")
            await expect(one.locator("#link-text")).to_have_text("live")
        assert seen.complaints == []
