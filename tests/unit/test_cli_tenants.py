"""A mistyped tenant would silence nobody's alerts: it is refused with the tenants that there are."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest

from compose.cli.tenants import MOST_SHOWN
from ingest.contract.records import Outgoing
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig
from ingest.runtime.log.sqlite import SqliteLog
from tests.api_records import alert_record
from tests.process_files import Files, refused, run

COMMANDS = [
    ("alerts silence", ("site=north", "--for", "1h")),
    ("alerts maintenance add", ("site=north", "--days", "daily", "--at", "00:00", "--for", "1h")),
]
LISTS = (("alerts", "silences"), ("alerts", "maintenance", "list"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    asyncio.run(leave(tmp_path, []))
    return Files(tmp_path)


async def leave(folder: Path, records: list[Outgoing]) -> None:
    log = SqliteLog(folder / "log.db", SystemClock())
    await log.ensure_topics(every_topic())
    await log.append(records)
    await log.close()


@pytest.mark.parametrize("kind", ["ingest", "analytics", "api"])
@pytest.mark.parametrize(("command", "rest"), COMMANDS)
def test_it_is_refused_and_nothing_is_made(files: Files, kind: str, command: str, rest: tuple[str, ...]) -> None:
    config = files.write(kind)
    told = refused(*command.split(), config, *rest, "--tenant", "acne")
    assert told == f"tidegate: --tenant: {config} names no gateway of 'acne', only of acme\n"
    assert [run(*shown, config, "--all").stdout for shown in LISTS] == ["", ""]
    assert run(*command.split(), config, *rest, "--tenant", "acme").exit_code == 0


@pytest.mark.parametrize(("command", "rest"), COMMANDS)
def test_a_file_that_names_no_gateway_takes_any(files: Files, command: str, rest: tuple[str, ...]) -> None:
    assert run(*command.split(), files.write("edge"), *rest, "--tenant", "elsewhere").exit_code == 0


@pytest.mark.parametrize(("command", "rest"), COMMANDS)
def test_alerts_that_outlive_their_gateways_are_still_silenced(
    files: Files, command: str, rest: tuple[str, ...]
) -> None:
    asyncio.run(leave(files.folder, [alert_record("f1", tenant="former")]))
    assert run(*command.split(), files.write("api"), *rest, "--tenant", "former").exit_code == 0
    assert "only of acme" in refused(*command.split(), files.write("api"), *rest, "--tenant", "formr")


def test_of_many_tenants_some_are_named(files: Files) -> None:
    gateways = [
        GatewayConfig(gateway="g", tenant=f"t{number:03}", site="s", public_key=base64.b64encode(bytes(32)).decode())
        for number in range(MOST_SHOWN + 7)
    ]
    config = files.write("api", {"gateways": msgspec.to_builtins(gateways)})
    told = refused("alerts", "silence", config, "site=north", "--tenant", "t")
    assert told.endswith(f"t{MOST_SHOWN - 1:03} and 7 more\n")
