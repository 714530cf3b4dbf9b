"""The doctor finds what loses data or stops a gateway, and says what to do."""

from __future__ import annotations

from pathlib import Path

import msgspec
from click.testing import CliRunner

from compose.cli.doctor import doctor
from compose.doctor.finding import Finding, Level
from compose.doctor.mosquitto import findings, read_settings
from ingest.runtime.secrets import generate_private_key


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


def examined(config: Path, *options: str) -> tuple[int, dict[str, Finding]]:
    result = CliRunner().invoke(doctor, [str(config), "--json", *options])
    found = [msgspec.json.decode(line, type=Finding) for line in result.output.splitlines()]
    return result.exit_code, {finding.about: finding for finding in found}


def gateway(folder: Path) -> Path:
    config = folder / "edge.toml"
    config.write_text(
        f"""
        [edge]
        tenant = "acme"
        site = "north"
        gateway = "gw"
        key_file = "{folder}/gateway.pem"
        data_dir = "{folder}/data"
        [edge.broker]
        host = "127.0.0.1"
        port = 9
        client_id = "gw"
        topics = ["tidegate/v1/north/+/telemetry"]
        [log]
        kind = "sqlite"
        path = "{folder}/log.db"
        """
    )
    return config


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path) -> None:
    code, found = examined(gateway(tmp_path))
    assert code == 1
    assert {about for about, finding in found.items() if finding.level is Level.BAD} == {"key", "broker", "log"}
    assert "tidegate keys generate" in found["key"].remedy
    assert found["disk"].level is not Level.BAD


def test_a_key_that_is_there_is_good(tmp_path: Path) -> None:
    generate_private_key(tmp_path / "gateway.pem")
    _, found = examined(gateway(tmp_path))
    assert found["key"].level is Level.GOOD
