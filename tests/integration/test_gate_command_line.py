"""`tidegate rollout gate` in a pipeline: it waits for the answer, and its exit code is the answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from compose.cli.main import tidegate
from ingest.contract.events import Outcome
from tests.api_centre import Centre, running
from tests.api_records import NOW
from tests.api_rollouts import plan_record, verdict_record

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

NOBODY = "http://127.0.0.1:9"
"""The port of discard: nobody listens there."""


async def asked(centre: Centre, *arguments: str, address: str = "") -> Result:
    given = {"TIDEGATE_API": address or centre.api.address, "TIDEGATE_TOKEN": centre.tokens["acme"].token}
    return await asyncio.to_thread(CliRunner().invoke, tidegate, ["rollout", "gate", *arguments], env=given)


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.PASS, 0), (Outcome.FAIL, 1), (Outcome.INCONCLUSIVE, 3)])
async def test_the_exit_code_is_the_answer_and_only_where_it_is_asked_for(
    outcome: Outcome, code: int, tmp_path: Path
) -> None:
    async with running(Centre(tmp_path, [])) as centre:
        await centre.put(plan_record("fw"), verdict_record("fw", outcome))
        await centre.eventually("/v1/gates/fw", lambda seen: seen["data"]["reason"] == "because")
        told = await asked(centre, "fw", "--wait", "--timeout", "0.2", "--exit-code", "--json")
        assert (told.exit_code, json.loads(told.output)["verdict"]) == (code, outcome.value)
        plain = await asked(centre, "fw")
        assert (plain.exit_code, plain.output) == (0, f"{outcome.value}: because\n")


async def test_who_waits_hears_of_the_verdict_when_it_comes(tmp_path: Path) -> None:
    async with running(Centre(tmp_path, [])) as centre:
        await centre.put(plan_record("fw"), verdict_record("fw", Outcome.INCONCLUSIVE))
        await centre.eventually("/v1/gates/fw", lambda seen: seen["data"]["reason"] == "because")
        waiting = asyncio.create_task(asked(centre, "fw", "--wait", "--timeout", "600", "--exit-code"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await centre.put(verdict_record("fw", Outcome.FAIL, at=NOW + 1))
        assert (await waiting).exit_code == 1


async def test_who_is_unknown_and_an_api_that_is_not_there_are_errors(tmp_path: Path) -> None:
    async with running(Centre(tmp_path, [])) as centre:
        unknown = await asked(centre, "nobody's", "--wait", "--timeout", "60", "--exit-code")
        assert (unknown.exit_code, "404" in unknown.stderr) == (2, True)
        gone = await asked(centre, "fw", "--exit-code", address=NOBODY)
        assert (gone.exit_code, "is `tidegate api run` running there?" in gone.stderr) == (2, True)
