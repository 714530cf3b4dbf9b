"""The audit log: every plan, answer, command and acknowledgement is entered, and no entry can be changed or left out unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from analytics.rollouts.audit import verify
from compose.cli.main import tidegate
from ingest.contract.commands import SignedCommand
from ingest.contract.events import AuditEntry, digest_of
from ingest.contract.records import Outgoing, Record
from ingest.contract.topics import AUDIT, COMMANDS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from tests.gate_stage_world import World, failed_world


def records_of(world: World) -> list[Record]:
    ours = [o for o in world.appended if o.topic == AUDIT]
    return [Record(o.topic, 0, n, o.key, o.value, o.headers, 0) for n, o in enumerate(ours)]


@pytest.fixture(scope="module")
def world() -> World:
    return failed_world()[0]


def test_every_plan_answer_command_and_acknowledgement_is_entered(world: World) -> None:
    entries, breaches = verify(records_of(world))
    assert breaches == []
    kinds = [entry.kind for entry in entries]
    assert kinds[0] == "plan"
    assert kinds.count("command") == 24
    assert kinds.count("ack") == 12
    assert {"verdict", "rollback"} <= set(kinds)
    assert [entry.what.split()[0] for entry in entries if entry.kind == "verdict"] == ["inconclusive", "fail"]
    command = next(entry for entry in entries if entry.kind == "command")
    assert (command.who, command.rollout, command.tenant) == ("gate", "fw-2.3", "acme")
    sent = {digest_of(o.value or b"") for o in world.appended if o.topic == COMMANDS}
    assert command.digest in sent
    assert msgspec.json.decode(next(o.value for o in world.appended if o.topic == COMMANDS), type=SignedCommand)


def test_a_restart_goes_on_with_the_chain() -> None:
    world, _, _ = failed_world()
    world.restart()
    world.pass_time(5)
    world.restart()
    world.crash([])
    entries, breaches = verify(records_of(world))
    assert breaches == []
    assert [entry.seq for entry in entries] == list(range(len(entries)))


def changed(record: Record, **fields: object) -> Record:
    entry = msgspec.structs.replace(msgspec.json.decode(record.value or b"", type=AuditEntry), **fields)
    return msgspec.structs.replace(record, value=msgspec.json.encode(entry))


def test_what_was_changed_left_out_or_put_in_is_found(world: World) -> None:
    records = records_of(world)
    assert verify(records + records)[1] == []
    edited = [*records[:3], changed(records[3], who="nobody"), *records[4:]]
    assert [breach.seq for breach in verify(edited)[1]] == [4]
    assert verify([*records[:3], *records[5:]])[1][0].problem == "missing, as are all up to 4"
    assert verify([*records, changed(records[2], what="other")])[1][0].seq == 2
    assert verify([changed(records[0], previous="1" * 64), *records[1:]])[1] != []
    assert verify([msgspec.structs.replace(records[0], value=b"{"), *records[1:]])[1][0].seq == -1
    assert verify(records[4:])[1] == []
    assert verify([]) == ([], [])


async def written(path: Path, outgoing: list[Outgoing]) -> None:
    log = SqliteLog(path, SystemClock())
    await log.ensure_topics(every_topic())
    await log.append(outgoing)
    await log.close()


async def test_the_command_verifies_and_lists(world: World, tmp_path: Path) -> None:
    entries = [o for o in world.appended if o.topic == AUDIT]
    (tmp_path / "any.toml").write_text(f'[log]\nkind = "sqlite"\npath = "{tmp_path}/log.db"\n')
    await written(tmp_path / "log.db", entries)

    def run(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(tidegate, ["audit", arguments[0], str(tmp_path / "any.toml"), *arguments[1:]])
        return found.exit_code, found.output

    loop_free = [
        await in_thread(run, *arguments) for arguments in (("verify", "--json"), ("list", "--rollout", "fw-2.3"))
    ]
    (code, output), (_, lines) = loop_free
    assert (code, json.loads(output)) == (0, {"entries": len(entries), "last": len(entries) - 1, "breaches": []})
    assert "verdict" in lines
    assert " ack " not in lines
    await written(tmp_path / "log.db", [msgspec.structs.replace(entries[1], value=b'{"seq": 1}')])
    assert (await in_thread(run, "verify"))[0] == 1


async def in_thread(function: object, *arguments: str) -> tuple[int, str]:
    import asyncio  # noqa: PLC0415 - the command starts a loop of its own

    return await asyncio.to_thread(function, *arguments)  # type: ignore[arg-type]
