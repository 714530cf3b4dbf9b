"""The console in a real browser on loopback: how soon it shows a fleet, how much travels until then, and whether it stays smooth while things change."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compose.bench.api.reads import api_config, changing_fleet, until_known, write_world
from compose.bench.api.world import Size, World
from compose.bench.load import BenchFailedError
from compose.bench.open_loop import api_process
from compose.stack.ports import free_port
from dashboards.api.auth import new_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

PATIENCE_MS = 60_000
CHANGES = 10.0
"""Devices that change each second."""
_SETTLING_S = 2.0
_CHUNK = 1 << 16

# In the page before anything of it runs: the token as if it had been typed, and when the fleet's figures were painted.
_WATCH = """token => {
  sessionStorage.setItem("tidegate.token", token);
  globalThis.longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) longest = Math.max(longest, task.duration);
  }).observe({ type: "longtask", buffered: true });
  const watch = new MutationObserver(() => {
    if (!/of [1-9]/.test(document.getElementById("figures")?.textContent ?? "")) return;
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => { document.documentElement.dataset.painted = performance.now(); }));
  });
  watch.observe(document, { subtree: true, childList: true, characterData: true });
}"""


class PaintFigures(NamedTuple):
    """`first_paint_ms`: from the navigation to the painted figures of the fleet, live data included (median of the runs).

    `first_paint_kb`: what the API sent until the list of devices was there, too, event stream included (greatest of the runs);
    `longest_task_ms`: the longest task of the page's main thread while things changed, 0 when none was above 50 ms.
    """

    first_paint_ms: float
    first_paint_kb: float
    longest_task_ms: float


async def measure(port: int, token: str, *, runs: int = 5, watched_s: float = 10.0) -> PaintFigures:
    """Against an API that runs on loopback; somebody else changes its fleet meanwhile. Raises BenchFailedError."""
    async with _counting(port) as (counted_port, sent), _browser() as browser:
        address = f"http://127.0.0.1:{counted_port}/"
        times, sizes = [], []
        for _ in range(runs):
            before = sent[0]
            painted, told, _ = await _look(browser, address, token, sent)
            times.append(painted)
            sizes.append(told - before)
        _, _, longest = await _look(browser, address, token, sent, watched_s)
    return PaintFigures(round(sorted(times)[len(times) // 2], 1), round(max(sizes) / 1000, 1), round(longest, 1))


async def measure_alone(folder: Path, size: Size, *, runs: int, watched_s: float) -> PaintFigures:
    """Against an API in a process of its own whose devices change ten times a second. Raises BenchFailedError, TimeoutError."""
    with tempfile.TemporaryDirectory(prefix="paint-", dir=folder) as name:
        place, token, world, port = Path(name), new_token(), World(size), free_port()
        await write_world(place, world)
        async with api_process(place, api_config(place, token, port, world)):
            await until_known(port, token.token, size)
            async with changing_fleet(place, world, CHANGES):
                return await measure(port, token.token, runs=runs, watched_s=watched_s)


async def _look(
    browser: Browser, address: str, token: str, sent: list[int], watched_s: float = 0.0
) -> tuple[float, int, float]:
    """A fresh browser profile: when the figures were painted (ms), what had been sent when the list was there, the longest task after that (ms)."""
    context = await browser.new_context()
    try:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.add_init_script(f"({_WATCH})({token!r})")
        await page.goto(address)
        await page.wait_for_selector("html[data-painted]", state="attached")
        painted = float(await page.get_attribute("html", "data-painted") or "nan")
        await page.wait_for_selector("#devices tr")
        told = sent[0]
        await asyncio.sleep(_SETTLING_S)
        await page.evaluate("globalThis.longest = 0")
        await asyncio.sleep(watched_s)
        return painted, told, float(await page.evaluate("globalThis.longest"))
    finally:
        await context.close()


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    try:
        from playwright.async_api import async_playwright  # noqa: PLC0415 - for development only, see the documents
    except ImportError as error:
        raise BenchFailedError("the console is measured with playwright: pip install playwright") from error
    program = os.environ.get("TIDEGATE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        raise BenchFailedError(
            "Chromium is missing: apt-get install chromium, or name its program in TIDEGATE_CHROMIUM"
        )
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses to sandbox root
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def _counting(port: int) -> AsyncIterator[tuple[int, list[int]]]:
    """A port in front of `port`, and how many bytes came back through it: what a shared worker reads is counted, too."""
    sent = [0]
    open_ones: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            behind, before = await asyncio.open_connection("127.0.0.1", port)
            there, back = (
                asyncio.create_task(_copy(*pair)) for pair in ((reader, before, [0]), (behind, writer, sent))
            )
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for copying in (there, back):
                    copying.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
                before.close()
        except asyncio.CancelledError:
            pass  # the end of the measurement: what a browser keeps open is not waited for
        finally:
            writer.close()
            open_ones.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], sent
    finally:
        server.close()
        for task in list(open_ones):
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: list[int]) -> None:
    while data := await reader.read(_CHUNK):
        count[0] += len(data)
        writer.write(data)
        await writer.drain()
