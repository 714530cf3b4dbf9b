"""`tidegate demo`: sets the stage, plays the story, and counts up."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from compose.demo.acts import MissingStepError, Stage
from compose.demo.measure import peak_mib
from compose.demo.screen import Screen
from compose.demo.story import Script, Story
from compose.demo.summary import Summary
from compose.demo.theatre import SystemTheatre
from compose.fleet.release import Release
from compose.stack.stack import running_stack
from ingest.runtime.clock import SystemClock

if TYPE_CHECKING:
    from compose.stack.endpoints import Endpoints
    from ingest.runtime.clock import Clock

TENANT = "acme"
SITES = ("harbour", "mill", "quarry")
PER_SITE = 20
OLD = Release(version="2.2.0")
BAD = Release(version="2.3.0", leak_percent_per_s={"rev-b": 3.0}, brick_share=0.2)
GOOD = Release(version="2.3.0")


class DemoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to show. `quiet`: nothing but the summary."""

    harmful: bool = True
    with_servers: bool = False
    keep: bool = False
    seed: int = 0
    quiet: bool = False


async def run_demo(settings: DemoSettings) -> Summary:
    """Play it once; never raises for a loop that did not close, the summary says so."""
    # The Kafka client logs what /readyz already says; the terminal belongs to the story.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with ExitStack() as around:
        folder = Path(around.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-demo-")))
        servers = await _servers(settings, folder, around)
        screen = around.enter_context(Screen(quiet=settings.quiet))
        return await _play(settings, folder, servers, screen)


async def _servers(settings: DemoSettings, folder: Path, around: ExitStack) -> Endpoints | None:
    if not settings.with_servers:
        return None
    stack = running_stack(folder / "servers")
    return await asyncio.to_thread(around.enter_context, stack)


async def _play(settings: DemoSettings, folder: Path, servers: Endpoints | None, screen: Screen) -> Summary:
    clock: Clock = SystemClock()
    script = Script(
        devices=PER_SITE * len(SITES),
        old=OLD,
        new=BAD if settings.harmful else GOOD,
        harmful=settings.harmful,
        seed=settings.seed,
        tenant=TENANT,
    )
    summary = Summary()
    async with AsyncExitStack() as around:
        theatre = await SystemTheatre.open(
            TENANT, SITES, PER_SITE, script, folder=folder, servers=servers, clock=clock, screen=screen, around=around
        )
        if settings.keep:
            _show_the_way(theatre, screen)
        stage = Stage(theatre.look, clock)
        theatre.seconds = stage.seconds
        story = Story(script, theatre, stage, screen, clock)
        try:
            await story.play()
        except MissingStepError as error:
            summary.missing = str(error)
            story.note(await theatre.look())
        summary.seconds = round(stage.seconds(), 1)
        _count_up(summary, story)
        if summary.ok:
            screen.end(f"The loop has closed after {summary.seconds:.0f} s.", "bold green")
        else:
            screen.end(f"The loop did not close: {summary.missing or 'the books do not balance'}.", "bold red")
        if settings.keep:
            theatre.fleet.start()
            _show_the_way(theatre, screen)
            screen.end("Ctrl-C ends it.", "dim")
            await asyncio.Event().wait()
    return summary


def _show_the_way(theatre: SystemTheatre, screen: Screen) -> None:
    address, token = theatre.page()
    screen.end(f"The page:  {address}", "bold")
    screen.end(f"Its token: {token}   (paste it into the page)", "bold")


def _count_up(summary: Summary, story: Story) -> None:
    summary.samples, summary.alerts = story.samples, story.alerts
    summary.gate, summary.rollback = story.gate, story.rollback
    summary.ledger = "balanced" if story.balanced else "unbalanced"
    summary.peak_mib = peak_mib()
    summary.ok = story.balanced and not summary.missing
