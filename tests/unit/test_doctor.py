"""The doctor finds what loses data or stops a process, and says what to do: as JSON, as text, by its exit code."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from compose.doctor.certificates import look_at_certificates
from compose.doctor.clocks import KernelClock, compared, kernel_clock, look_at_clock
from compose.doctor.finding import Finding, Level
from compose.doctor.mosquitto import findings, read_settings
from compose.doctor.versions import look_at_versions
from edge_aggregator.receive.config import TlsConfig
from ingest.contract.topics import every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.sqlite import SqliteLog
from tests.mqtt_tls import certificates
from tests.process_files import Files, refused, run

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("edge", "ingest", "analytics", "api")
IN_2026, IN_2100, IN_2101 = 1_790_000_000_000, 4_101_000_000_000, 4_140_000_000_000


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def levels(text: str) -> list[Level]:
    return [finding.level for finding in findings(read_settings(text))]


def test_a_stock_mosquitto_is_warned_of_persistence_autosave_and_queue() -> None:
    assert levels("listener 1883\n") == [Level.WARNING] * 3


def test_a_careful_one_is_good() -> None:
    careful = "# ours\npersistence true\nautosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n"
    assert levels(careful) == [Level.GOOD] * 3


def test_further_limits_are_warned_of() -> None:
    text = "persistence true\nmax_queued_bytes 1000\npersistent_client_expiration 1d\n"
    assert levels(text).count(Level.WARNING) == 4


def examined(config: Path, *options: str) -> tuple[int, dict[str, list[Finding]]]:
    result = run("doctor", config, "--json", *options)
    found: dict[str, list[Finding]] = {}
    for line in result.stdout.splitlines():
        finding = msgspec.json.decode(line, type=Finding)
        assert finding.remedy or finding.level is Level.GOOD
        found.setdefault(finding.about, []).append(finding)
    return result.exit_code, found


def bad_ones(found: dict[str, list[Finding]]) -> set[str]:
    return {about for about, those in found.items() if any(one.level is Level.BAD for one in those)}


def a_log(folder: Path) -> None:
    async def make() -> None:
        log = SqliteLog(folder / "log.db", SystemClock())
        await log.ensure_topics(every_topic())
        await log.close()

    asyncio.run(make())


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_file_of_every_process_is_examined(files: Files, kind: str) -> None:
    a_log(files.folder)
    code, found = examined(files.write(kind))
    assert (code, bad_ones(found)) == (0, set())
    assert {"versions", "clock", "credentials", "log"} <= found.keys()
    assert ("store" in found) == (kind in {"ingest", "api"})
    assert ("disk" in found) == (kind in {"edge", "analytics"})


def test_looking_makes_nothing(files: Files) -> None:
    files.write("edge")
    before = set(files.folder.rglob("*"))
    code, found = examined(files.folder / "edge.toml")
    assert (code, found["log"][0].level) == (0, Level.WARNING)
    assert set(files.folder.rglob("*")) == before


def test_what_is_missing_is_named_with_its_remedy(files: Files) -> None:
    key = files.credentials.gateway_key("north")
    key.unlink()
    broker = {"host": "127.0.0.1", "port": 9, "client_id": "gw", "topics": ["tidegate/v1/north/+/telemetry"]}
    code, found = examined(files.write("edge", {"edge.broker": broker, "edge.listener": None}))
    assert (code, bad_ones(found)) == (1, {"credentials", "broker"})
    assert [one.remedy for one in found["credentials"]] == [f"tidegate keys generate {key}"]


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"log.kind": "kafka", "log.bootstrap": "127.0.0.1:9"}, "log"),
        (
            {
                "store.kind": "influxdb",
                "store.url": "http://127.0.0.1:9",
                "store.org": "o",
                "store.token_file": "{token}",
            },
            "store",
        ),
    ],
)
def test_servers_that_are_away_are_told(files: Files, changes: dict[str, Any], about: str) -> None:
    a_log(files.folder)
    token = str(files.credentials.folder / "token")
    code, found = examined(files.write("ingest", {name: value.format(token=token) for name, value in changes.items()}))
    assert (code, bad_ones(found)) == (1, {about})


def test_a_port_that_another_has_is_told(files: Files) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        code, found = examined(files.write("edge", {"edge.listener.port": port}))
    assert (code, bad_ones(found)) == (1, {"ports"})
    assert f"sport = :{port}" in found["ports"][-1].remedy


def test_certificates_are_read_with_their_keys(tmp_path: Path) -> None:
    made = certificates(tmp_path)

    def of(tls: TlsConfig, now: int) -> list[Level]:
        return [one.level for one in look_at_certificates(tls, now)]

    assert of(made.server, IN_2026) == [Level.GOOD] * 2
    assert of(made.server, IN_2100) == [Level.WARNING] * 2
    assert of(made.server, IN_2101) == [Level.BAD] * 2
    assert of(TlsConfig(cert_file=made.server_cert, key_file=made.client_key), IN_2026) == [Level.BAD]
    assert of(TlsConfig(ca_file=made.client_key), IN_2026) == [Level.BAD]


def test_clocks_and_versions_are_judged() -> None:
    assert look_at_clock(KernelClock(kept=True, most_off_ms=3.0)).level is Level.GOOD
    assert look_at_clock(KernelClock(kept=False, most_off_ms=16e3)).level is Level.WARNING
    assert look_at_clock(None).level is Level.WARNING
    assert look_at_clock(kernel_clock()).about == "clock"
    assert compared("the store", 10_000, 11_000).level is Level.GOOD
    assert "7 s behind the store" in compared("the store", 17_000, 10_000).found
    assert look_at_versions().level is Level.GOOD
    assert look_at_versions("3.51.2").level is Level.BAD


def test_people_read_lines_and_a_wrong_file_is_refused(files: Files) -> None:
    a_log(files.folder)
    told = run("doctor", files.write("ingest"))
    assert told.exit_code == 0
    assert told.stdout.startswith("good     versions")
    assert "→ the first process that starts makes it" in told.stdout
    assert "did you mean `path`?" in refused("doctor", files.write("ingest", {"log.paht": "x"}))
    assert "cannot be read" in refused("doctor", files.folder / "none.toml")
    (files.folder / "no.toml").write_text("[log\n")
    assert "cannot be read" in refused("doctor", files.folder / "no.toml")
