"""`tidegate top` and `status` against a running API: live in a pseudo-terminal, and once in a pipe."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH, fill
from tests.process_kit import environment
from tests.terminal import COLOUR, Terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECTIONS = ("SITE", "INCIDENT", "ALERT", "WORST DEVICES", "ROLLOUT")
COMMAND = (sys.executable, "-c", "from compose.cli.main import main; main()")


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        await fill(started)
        yield started


def env_of(centre: Centre, **more: str) -> dict[str, str]:
    # What would speak for another terminal than the one that is made here.
    foreign = {"NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS", "LINES"}
    known = {name: value for name, value in environment().items() if name not in foreign}
    return known | {"TIDEGATE_API": centre.api.address, "TIDEGATE_TOKEN": centre.tokens["acme"].token} | more


def sections(screen: str) -> list[str]:
    return [name for name in SECTIONS if any(line.startswith(f"{name} ") for line in screen.splitlines())]


def watched(env: dict[str, str]) -> str:
    """Look at everything, at one section, at everything again, and leave; what was written."""
    with Terminal([*COMMAND, "top", "--interval", "0.2"], env) as terminal:
        screen = terminal.until(lambda text: "q quit" in text and sections(text) == list(SECTIONS))
        for word in ("inc-1", "growing", "rev-b", "pump-1", "fw-2.3.0", "fail"):
            assert word in screen
        assert "secret-device" not in screen
        terminal.press("i")
        terminal.until(lambda text: "q quit" in text and sections(text) == ["INCIDENT"])
        terminal.press(" ")
        terminal.until(lambda text: "paused" in text)
        terminal.press(" e")
        terminal.until(lambda text: "paused" not in text and "q quit" in text and sections(text) == list(SECTIONS))
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.restored()
        return terminal.output


async def test_it_is_live_takes_keys_and_leaves_the_terminal_as_it_was(centre: Centre) -> None:
    output = await asyncio.to_thread(watched, env_of(centre))
    assert COLOUR.search(output)
    assert output.count("\x1b[?1049h") == output.count("\x1b[?1049l") == 1  # the other screen, and back


async def test_no_color_means_none(centre: Centre) -> None:
    assert not COLOUR.search(await asyncio.to_thread(watched, env_of(centre, NO_COLOR="1")))


async def test_in_a_pipe_it_is_one_picture_in_plain_lines(centre: Centre) -> None:
    async def piped(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *arguments]
        return await asyncio.to_thread(
            lambda: subprocess.run(command, env=env_of(centre), capture_output=True, text=True, check=False)
        )

    top, told, state = await asyncio.gather(piped("top"), piped("top", "--once", "--json"), piped("status"))
    assert (top.returncode, top.stderr) == (0, "")
    assert sections(top.stdout) == list(SECTIONS)
    assert "\x1b" not in top.stdout
    (incident,) = json.loads(told.stdout)["incidents"]
    assert incident["cause"] == "hardware rev-b: 100 % of the affected, 8 % of the fleet"
    assert (state.returncode, "incident inc-1: heap high on 2 devices" in state.stdout) == (1, True)
