"""The command line: helpful, and wrong input ends in one line that says what to do, with the exit code that scripts need."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import stat
from typing import TYPE_CHECKING, Any

import click
import pytest

from compose.cli.main import COMMANDS, tidegate
from ingest.contract.records import Outgoing, dead_letter
from ingest.contract.topics import ROLLUPS, dead, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from tests.alert_world import T0, Fleet, Watched, anomaly, taken
from tests.process_files import Files, refused, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: tidegate" in result.output
    assert command or all(name in result.output for name in COMMANDS)


def test_the_commands_within_explain_themselves() -> None:
    context = click.Context(tidegate)
    for name in COMMANDS:
        group = tidegate.get_command(context, name)
        for within in group.commands if isinstance(group, click.Group) else ():
            shown = run(name, within, "--help")
            assert shown.exit_code == 0, (name, within)
            assert len(shown.output.splitlines()) > 4


@pytest.mark.parametrize("kind", ["edge", "ingest", "analytics", "api"])
def test_good_files_are_good(files: Files, kind: str) -> None:
    result = run("check", kind, files.write(kind))
    assert result.exit_code == 0, result.output
    said = json.loads(run("check", kind, files.folder / f"{kind}.toml", "--json").output)
    assert said == {"ok": True, "error": "", "warnings": []}


MISTAKES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("edge", {"edge.widow_s": 1.0}, ["edge.widow_s", "unknown setting", "did you mean `window_s`?"]),
    ("edge", {"edge.window_s": "ten"}, ["edge.window_s", "Expected `float`", "found: 'ten'"]),
    ("edge", {"edge.lease_s": -1.0}, ["edge: lease_s is -1.0", "more than 0"]),
    ("edge", {"edge.lease_s": float("inf")}, ["edge.lease_s: found inf", "expected a finite number"]),
    ("edge", {"edge.listener": None}, ["edge: neither [edge.broker] nor [edge.listener]"]),
    ("edge", {"edge.listener.host": "0.0.0.0"}, ["edge.listener: host is '0.0.0.0'", "credentials_file"]),  # noqa: S104 - refused
    ("edge", {"edge.broker": {"client_id": "g", "topics": ["$share/a/b"]}}, ["edge.broker", "shared subscription"]),
    ("edge", {"edge.centre_keys": ["nonsense"]}, ["edge.centre_keys[0]", "base64 of 32 bytes", "keys generate"]),
    ("edge", {"tracing.otlp_endpoint": "collector:4318"}, ["tracing: otlp_endpoint is 'collector:4318'", "http://"]),
    ("edge", {"observe.host": "0.0.0.0"}, ["observe.host 0.0.0.0", "tls_certificate"]),  # noqa: S104 - refused
    ("edge", {"observe.port": 70_000}, ["observe.port: found 70000", "0 to 65535"]),
    ("ingest", {"log.kind": "kafak"}, ["log.kind: found 'kafak'", "one of kafka, sqlite", "did you mean `kafka`?"]),
    ("ingest", {"log.path": ""}, ["log.path: missing", "the file of the embedded log"]),
    ("ingest", {"log.paht": "x"}, ["log.paht: unknown setting", "did you mean `path`?"]),
    ("ingest", {"log.kind": "kafka", "log.bootstrap": "nowhere"}, ["log.bootstrap: found 'nowhere'", "host:port"]),
    ("ingest", {"store.kind": "influxdb"}, ["store.url: missing", "store.org: missing", "store.token_file: missing"]),
    ("ingest", {"store.timeout_s": 0.0}, ["store.timeout_s", "> 0"]),
    ("ingest", {"ingest.max_records": 0}, ["ingest.max_records", ">= 1"]),
    ("ingest", {"gateways.0.public_key": "AAAA"}, ["gateways[0].public_key", "base64 of 32 bytes"]),
    ("ingest", {"gateways.0.site": "no/such"}, ["gateways[0].site: found 'no/such'"]),
    ("ingest", {"gateways": None}, ["gateways: missing", "config init"]),
    ("analytics", {"analytics.detect.min_windows": 1}, ["analytics.detect", "min_windows"]),
    ("analytics", {"analytics.gate.tick_s": 0.0}, ["analytics.gate: tick_s is 0.0", "more than 0"]),
    ("analytics", {"analytics.gate.max_records": 0}, ["analytics.gate: max_records is 0", "at least 1"]),
    (
        "analytics",
        {"analytics.gate.webhook": {"url": "ftp://x", "secret_file": "s"}},
        ["analytics.gate.webhook", "http"],
    ),
    (
        "analytics",
        {"analytics.alerts.site_dark.severity": "awful"},
        ["analytics.alerts.site_dark", "'awful'", "critical"],
    ),
    ("analytics", {"signing_key_file": "x"}, ["signing_key_file: unknown", "`analytics.gate.signing_key_file`"]),
    ("api", {"api.tokens.0.scopes": ["raed"]}, ["api.tokens[0].scopes[0]: found 'raed'", "did you mean `read`?"]),
    ("api", {"api.tokens.0.sha256": "abc"}, ["api.tokens[0].sha256", "64"]),
    ("api", {"api.host": "0.0.0.0"}, ["api.host: 0.0.0.0", "tls_certificate"]),  # noqa: S104 - refused
]


@pytest.mark.parametrize(("kind", "changes", "told"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_told_with_its_path(files: Files, kind: str, changes: dict[str, Any], told: list[str]) -> None:
    path = files.write(kind, changes)
    text = refused("check", kind, path)
    assert all(f"{path}: " in line for line in text.splitlines())
    assert all(part in text for part in told), text
    answer = run("check", kind, path, "--json")
    assert answer.exit_code == 2
    assert json.loads(answer.output)["error"] in text.replace("tidegate: ", "")
    assert refused(kind, "run", path) == text


def test_every_contradiction_is_told_at_once(files: Files) -> None:
    path = files.write("api", {"log.path": "", "store.path": "", "api.tokens.0.sha256": "abc"})
    assert len(refused("check", "api", path).splitlines()) == 3


@pytest.mark.parametrize("content", ["[log\n", "log = 1\n", "\udc80"])
def test_what_is_no_configuration_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert str(path) in refused("check", "edge", path)
    assert "cannot be read" in refused("check", "edge", tmp_path / "none.toml")


def test_a_missing_key_is_told_before_anything_starts(files: Files) -> None:
    files.credentials.gateway_key("north").unlink()
    text = refused("edge", "run", files.write("edge"))
    assert "edge.key_file" in text
    assert "cannot be read: No such file" in text
    assert len(text.splitlines()) == 1
    assert refused("check", "edge", files.folder / "edge.toml") == text
    assert not (files.folder / "edge-north").exists()


@pytest.mark.parametrize(
    ("kind", "secret", "setting"),
    [("edge", "north.pem", "edge.key_file"), ("analytics", "centre.pem", "analytics.gate.signing_key_file")],
)
def test_a_secret_that_others_can_read_is_refused(files: Files, kind: str, secret: str, setting: str) -> None:
    (files.credentials.folder / secret).chmod(0o644)
    text = refused(kind, "run", files.write(kind))
    assert f"{setting}: " in text
    assert "chmod 600" in text
    assert len(text.splitlines()) == 1


def test_a_password_for_kafka_must_be_private_as_well(files: Files) -> None:
    password = files.folder / "password"
    password.write_text("s3cret")
    password.chmod(0o644)
    kafka = {
        "log.kind": "kafka",
        "log.bootstrap": "127.0.0.1:1",
        "log.username": "u",
        "log.password_file": str(password),
    }
    text = refused("ingest", "run", files.write("ingest", kafka))
    assert "log.password_file" in text
    assert "chmod 600" in text
    assert "s3cret" not in text


def test_rules_that_cannot_be_used_are_told_before_anything_starts(files: Files) -> None:
    rules = files.folder / "rules.toml"
    path = files.write("analytics", {"analytics.alerts.rules_file": str(rules)})
    assert "make one: tidegate alerts starter >" in refused("check", "analytics", path)
    rules.write_text("[[rules]]\nname = 'A'\nkind = 'nothing'")
    assert "rules[0] (A): kind: found 'nothing'" in refused("check", "analytics", path)
    assert "rules[0] (A): kind: found 'nothing'" in refused("analytics", "run", path)
    rules.write_text(run("alerts", "starter").output)
    assert run("check", "analytics", path).exit_code == 0


def test_a_key_that_is_none_is_told(files: Files) -> None:
    key = files.credentials.gateway_key("north")
    key.write_text("-----BEGIN NOTHING-----")
    assert "expected an Ed25519 private key in PEM" in refused("edge", "run", files.write("edge"))


@pytest.mark.parametrize(
    ("kind", "setting"),
    [("edge", "observe.port"), ("edge", "edge.listener.port"), ("ingest", "observe.port"), ("api", "api.port")],
)
def test_an_address_in_use_is_told(files: Files, kind: str, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refused(kind, "run", files.write(kind, {setting: port}))
    told = [line for line in text.splitlines() if "stopping" not in line]
    assert len(told) == 1
    assert f"127.0.0.1:{port}" in told[0]
    assert "Address already in use" in told[0]


def test_a_folder_that_cannot_be_used_is_a_failure_in_one_line(files: Files) -> None:
    (files.folder / "edge-north").write_text("a file where a folder belongs")
    result = run("edge", "run", files.write("edge"))
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert "edge-north" in result.stderr


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "gateway.pem"
    made = run("keys", "generate", path)
    assert made.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(base64.b64decode(made.output.split('"')[1])) == 32
    assert run("keys", "generate", path).output == made.output
    path.chmod(0o640)
    assert "chmod 600" in refused("keys", "generate", path)
    assert str(path) in refused("keys", "generate", path / "below")


def test_a_token_is_made_once_and_only_its_digest_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "token"
    made = run("keys", "token", path)
    assert made.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.output == f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\n'
    assert path.read_text() not in made.output
    assert "exists" in refused("keys", "token", path)
    assert "cannot be written" in refused("keys", "token", path / "below")


def test_the_status_of_a_gateway_that_never_ran(files: Files) -> None:
    result = run("edge", "status", files.write("edge"))
    assert result.exit_code == 1
    assert "has it ever run?" in result.stderr


def test_dead_letters_are_listed_explained_and_replayed(files: Files) -> None:
    config = files.write("ingest")
    assert run("dead", "list", config).exit_code == 1  # looking does not create what is not there
    assert not (files.folder / "log.db").exists()
    asyncio.run(leave_letters(files.folder / "log.db"))
    listed = run("dead", "list", config)
    assert listed.exit_code == 0
    assert ["unknown_gateway" in line for line in listed.output.splitlines()] == [True, False]
    told = [json.loads(line) for line in run("dead", "list", config, "--json").output.splitlines()]
    assert [letter["reason"] for letter in told] == ["unknown_gateway", "malformed"]
    explained = run("dead", "explain", config, told[0]["offset"])
    assert "add the gateway under [[gateways]]" in explained.output
    assert run("dead", "explain", config, 99).exit_code == 1
    assert run("dead", "replay", config, "--reason", "unknown_gateway").output == "1 replayed\n"
    assert asyncio.run(values(files.folder / "log.db")) == [b"one", b"two", b"one"]


async def leave_letters(path: Path) -> None:
    log = SqliteLog(path, SystemClock())
    await log.ensure_topics(every_topic())
    await log.append([Outgoing(ROLLUPS, b"north", b"one"), Outgoing(ROLLUPS, b"north", b"two")])
    for record, reason in zip(await read(log), ("unknown_gateway", "malformed"), strict=True):
        await log.append([dead_letter(record, reason, "detail", dead(ROLLUPS))])
    await log.close()


async def values(path: Path) -> list[bytes | None]:
    log = SqliteLog(path, SystemClock())
    found = [record.value for record in await read(log)]
    await log.close()
    return found


async def read(log: SqliteLog) -> list[Any]:
    consumer = await log.subscribe((ROLLUPS,), group=None, member="reader")
    found = await consumer.poll(100, 1.0)
    await consumer.close()
    return found


def test_alerts_are_silenced_acknowledged_and_looked_back_at(files: Files) -> None:
    config = files.write("ingest")
    watched = Watched(Fleet(("north",)))
    result = watched.stage.step([taken(anomaly("north-01", T0))], SystemClock().now_ms())
    asyncio.run(leave(files.folder / "log.db", result.outgoing))
    (fired,) = [json.loads(line) for line in run("alerts", "history", config, "--json").output.splitlines()]
    assert "MetricAnomaly" in run("alerts", "history", config, "--name", "MetricAnomaly").output
    assert not run("alerts", "history", config, "--since", "0s").output
    said = run("alerts", "acknowledge", config, fired["fingerprint"], "--by", "ada")
    assert said.output == f"ada looks after MetricAnomaly {fired['fingerprint']}\n"
    assert run("alerts", "acknowledge", config, "unknown").exit_code == 1
    silence = ("alerts", "silence", config, "site=north", "device!=pump-*", "--for", "2h", "--tenant", "acme")
    name = run(*silence, "--by", "ada", "--comment", "new pumps").output.strip()
    (line,) = run("alerts", "silences", config).output.splitlines()
    assert line.startswith(f"{name}  silence")
    assert "acme: site=north device!=pump-*  (ada: new pumps)" in line
    assert run("alerts", "unsilence", config, name).output == f"{name} has ended\n"
    assert not run("alerts", "silences", config).output
    assert len(run("alerts", "silences", config, "--all", "--json").output.splitlines()) == 1
    assert run("alerts", "unsilence", config, name).exit_code == 1
    assert "expected label=pattern" in refused("alerts", "silence", config, "site", "--tenant", "acme")
    assert "no duration" in refused("alerts", "silence", config, "site=a", "--for", "2x", "--tenant", "acme")


def test_maintenance_windows_are_made_listed_and_removed(files: Files) -> None:
    config = files.write("ingest")
    with config.open("a") as file:
        file.write(
            '\n[[analytics.alerts.maintenance]]\nname = "updates"\ntenant = "acme"\nmatchers = ["site=south"]\n'
            'at = "02:00"\nlasts_s = 7200.0\n'
        )
    asyncio.run(leave(files.folder / "log.db", []))
    add = ("alerts", "maintenance", "add", config, "site=north", "--tenant", "acme", "--at", "00:00", "--by", "ada")
    name = run(
        *add, "--days", "daily", "--for", "24h", "--comment", "roof", "--timezone", "Europe/Berlin"
    ).output.strip()
    once = json.loads(run(*add, "--date", "2999-12-01", "--for", "45m", "--json").output)
    assert once["hours"] == {"begins": "00:00", "lasts_s": 2700, "timezone": "UTC", "days": [], "date": "2999-12-01"}
    assert once["closes_at"] - once["opens_at"] == 45 * 60_000
    lines = run("alerts", "maintenance", "list", config).output.splitlines()
    (mine,) = [line for line in lines if line.startswith(f"{name}  daily at 00:00 Europe/Berlin for 1d, open until ")]
    assert mine.endswith("acme: site=north  (ada: roof)")
    (updates,) = [line for line in lines if line.startswith("updates  daily at 02:00 UTC for 2h, open")]
    assert updates.endswith("acme: site=south  (the configuration)")
    assert lines[-1].startswith(once["id"])  # what opens last
    assert run("alerts", "maintenance", "remove", config, name).output == f"{name} is removed\n"
    assert len(run("alerts", "maintenance", "list", config).output.splitlines()) == 2
    (over,) = [
        told
        for line in run("alerts", "maintenance", "list", config, "--all", "--json").output.splitlines()
        if (told := json.loads(line))["id"] == name
    ]
    assert (over["opens_at"], over["closes_at"]) == (0, 0)
    for gone in (name, "updates", "unknown"):
        assert run("alerts", "maintenance", "remove", config, gone).exit_code == 1
    for options, told in {
        ("--for", "1h"): "needs either --days or --date, found neither",
        ("--for", "1h", "--days", "mon,lundi"): "'lundi' is no day",
        ("--for", "8d", "--days", "mon"): "--for in seconds is 691200, expected more than 0 and at most a week",
        ("--for", "1h", "--date", "2020-01-01"): "is over already",
        ("--for", "1h", "--date", "1.12.2026"): "--date is '1.12.2026', expected yyyy-mm-dd",
        (
            "--for",
            "1h",
            "--days",
            "mon",
            "--timezone",
            "Berlin",
        ): "--timezone is 'Berlin', expected one like Europe/Berlin",
        ("--for", "1h", "--days", "mon", "--at", "25:00"): "--at is '25:00', expected hh:mm",
    }.items():
        assert told in refused(*add, *options), options


async def leave(path: Path, records: list[Outgoing]) -> None:
    log = SqliteLog(path, SystemClock())
    await log.ensure_topics(every_topic())
    await log.append(records)
    await log.close()


def test_a_log_that_is_wrongly_named_is_told(files: Files) -> None:
    path = files.write("ingest", {"log.path": ""})
    assert "log.path: missing" in refused("dead", "list", path)
    assert "log.path: missing" in refused("rollout", "replay", path, "fw")
    assert "log: missing" in refused("dead", "list", files.write("api", {"log": None}))


def test_rollouts_need_a_token_and_an_api(tmp_path: Path) -> None:
    assert "TIDEGATE_TOKEN_FILE" in refused("rollout", "list")
    token, plan = tmp_path / "token", tmp_path / "plan.toml"
    assert run("keys", "token", token).exit_code == 0
    options = ("rollout", "--api", "http://127.0.0.1:1", "--token-file", token)
    assert "is `tidegate api run` running there?" in refused(*options, "gate", "fw")
    assert "No such file" in refused(*options, "start", plan)
    plan.write_text("rollout = ")
    assert str(plan) in refused(*options, "start", plan)
    token.chmod(0o644)
    assert "chmod 600" in refused(*options, "list")


def test_a_job_may_be_handed_the_token_as_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_TOKEN", "abc")
    assert "is `tidegate api run` running there?" in refused("rollout", "--api", "http://127.0.0.1:1", "list")
