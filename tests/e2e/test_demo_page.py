"""The demonstration left running, as a newcomer looks at it: from the address that it prints two clicks lead to why the rollout failed."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.async_api import expect

from tests.console_browser import started_browser, watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page

pytestmark = [
    pytest.mark.whole,
    pytest.mark.timeout(1200),
    pytest.mark.servers("chromium"),
    pytest.mark.usefixtures("patience"),
]

DEADLINE_S = 900.0


@asynccontextmanager
async def kept_demo(log: Path) -> AsyncIterator[tuple[str, str]]:
    """A demonstration whose loop has closed and that goes on: its page's address and token."""
    with log.open("wb") as told:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "compose.cli", "demo", "--keep"), stdout=told, stderr=told
        )
    try:
        async with asyncio.timeout(DEADLINE_S):
            while "Ctrl-C ends it." not in (text := _text(log)):
                assert process.returncode is None, text
                await asyncio.sleep(0.5)
        yield _printed(text, "The page"), _printed(text, "Its token")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), DEADLINE_S)


def _text(log: Path) -> str:
    return log.read_text("utf-8")


def _printed(text: str, what: str) -> str:
    found: list[str] = re.findall(rf"^{what}: +(\S+)", text, re.MULTILINE)
    return found[-1]


async def test_two_clicks_lead_from_the_demo_to_why_the_rollout_failed_and_everything_else_answers(
    tmp_path: Path,
) -> None:
    async with (
        kept_demo(tmp_path / "demo.log") as (address, token),
        started_browser() as browser,
        watched(browser) as seen,
    ):
        page = seen.page
        await page.goto(address)
        await page.get_by_label("Access token").fill(token)
        await page.get_by_role("button", name="Open").click()
        await page.locator("#attention").get_by_role("link", name="firmware-2.3.0").click()
        rollout = page.locator(".rollout").first
        await expect(rollout).to_contain_text("Fail")
        await expect(rollout.locator(".reason")).to_contain_text(re.compile("e-value .* has reached"))
        await expect(rollout.locator(".guards")).to_contain_text("crash")
        await expect(rollout.get_by_role("img")).to_have_attribute("aria-label", re.compile("the gate fails at 20"))
        await _look_after_an_alert(page, address, token)
        await _read_raw_samples(page, address)
        assert token not in " ".join(seen.requests)
        assert seen.complaints == []


async def _look_after_an_alert(page: Page, address: str, token: str) -> None:
    # The devices that the release has bricked stay silent; others may have been so for a moment on a loaded machine.
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60.0) as client:
        bricked = (await client.get(f"{address}v1/devices?state=silent&firmware=2.3.0")).json()["data"]
        alerts = (await client.get(f"{address}v1/alerts?state=firing&limit=1000")).json()["data"]
    names = {device["device"] for device in bricked}
    silent = [alert for alert in alerts if alert["name"] == "DeviceSilent" and alert["labels"]["device"] in names]
    fingerprint = silent[0]["fingerprint"]
    await page.goto(f"{address}#/alerts/{fingerprint}")
    linked = page.locator("#alerts > li").first
    await linked.get_by_role("button", name="Acknowledge").click()
    await expect(linked).to_contain_text("looked after")
    await linked.get_by_role("button", name="Hand back").click()
    await expect(linked).to_contain_text("firing")


async def _read_raw_samples(page: Page, address: str) -> None:
    await page.goto(f"{address}#/devices/mill/mill-001")
    await expect(page.locator("#happened")).to_contain_text("first seen")
    await page.get_by_role("button", name="Ask the gateway").click()
    await expect(page.locator("#raw-state")).to_contain_text("samples as they were sent")
    await expect(page.locator("#raw-charts canvas").first).to_be_visible()
