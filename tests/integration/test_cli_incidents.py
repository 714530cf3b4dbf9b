"""`tidegate incidents` against a running API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest
from click.testing import CliRunner, Result

from compose.cli.main import tidegate
from tests.api_centre import Centre, running
from tests.api_filled import NORTH, SOUTH, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running(Centre(tmp_path, [NORTH, SOUTH])) as started:
        await fill(started)
        yield started


async def run(centre: Centre, *arguments: str) -> Result:
    environment = {"TIDEGATE_TOKEN": centre.tokens["acme"].token, "TIDEGATE_TOKEN_FILE": ""}
    command = ["incidents", "--api", centre.api.address, *arguments]
    return await asyncio.to_thread(CliRunner(env=environment).invoke, tidegate, command)


async def test_incidents_are_listed_and_shown(centre: Centre) -> None:
    listed = await run(centre, "list")
    assert (listed.exit_code, listed.output.count("\n")) == (0, 1), listed.output
    assert "inc-1  growing" in listed.output
    assert (await run(centre, "list", "--state", "resolved")).output == ""
    shown = await run(centre, "show", "inc-1")
    assert shown.output.splitlines()[:4] == [
        "heap high on 2 devices at north; hardware rev-b: 100 % of the affected, 8 % of the fleet",
        shown.output.splitlines()[1],
        "2 devices at 1 sites, 2 series, 2 still alarm",
        "",
    ]
    assert "      -4.2  hardware rev-b: 100 % of the affected, 8 % of the fleet" in shown.output
    assert "  heap high: first on 2 of 2 devices" in shown.output
    assert "  north/pump-1 heap 91.5, expected 40" in shown.output


async def test_as_json_it_is_what_the_api_says(centre: Centre) -> None:
    (item,) = (
        msgspec.json.decode(line)
        for line in (await run(centre, "list", "--json", "--device", "pump-1")).output.splitlines()
    )
    whole = msgspec.json.decode((await run(centre, "show", "inc-1", "--json")).output)
    assert whole | {"affected": []} == item


async def test_what_is_anothers_or_nobodys_is_unknown(centre: Centre) -> None:
    for name in ("inc-theirs", "nothing"):
        result = await run(centre, "show", name)
        assert result.exit_code == 2
        assert "404" in result.stderr
