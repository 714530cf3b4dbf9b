"""`tidegate stack` as a person and as a script use it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from compose.stack.endpoints import Endpoints
from compose.stack.mqtt_probe import probe_mqtt
from compose.stack.stack import down

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers("mosquitto")

COMMAND = [sys.executable, "-c", "from compose.cli.stack import stack; stack(prog_name='tidegate stack')"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "stack"
    down(tmp_path / "stack")


def tidegate_stack(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_servers_outlive_the_command_that_started_them(folder: Path) -> None:
    done = tidegate_stack("up", "--dir", folder, "--only", "mosquitto", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mqtt"]["username"] == "gateway"
    probe_mqtt(Endpoints.load(folder / "endpoints.json").mqtt)
    shown = tidegate_stack("status", "--dir", folder, "--only", "mosquitto", "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)[0]["state"] == "running"
    ended = tidegate_stack("down", "--dir", folder, "--json")
    assert json.loads(ended.stdout) == {"stopped": ["mosquitto"]}


def test_status_counts_what_is_down(folder: Path) -> None:
    shown = tidegate_stack("status", "--dir", folder)
    assert shown.returncode == 1
    assert shown.stdout.count("stopped") == 5
    assert not folder.exists()


def test_people_are_shown_no_secrets(folder: Path) -> None:
    done = tidegate_stack("up", "--dir", folder, "--only", "mosquitto")
    assert done.returncode == 0, done.stderr
    secrets = Endpoints.load(folder / "endpoints.json").mqtt
    assert secrets.password not in done.stdout + done.stderr
    assert str(folder / "endpoints.json") in done.stdout


def test_down_without_anything_is_no_error(folder: Path) -> None:
    assert tidegate_stack("down", "--dir", folder).returncode == 0


def test_a_wrong_name_is_a_usage_error() -> None:
    wrong = tidegate_stack("up", "--only", "rabbit")
    assert wrong.returncode == 2
    assert "'kafka', 'mosquitto', 'influxdb', 'alertmanager', 'prometheus'" in wrong.stderr


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = tidegate_stack("up", "--dir", tmp_path / "file" / "stack", "--only", "mosquitto")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("Error: ")
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize("command", [[], ["up"], ["status"], ["down"], ["obtain"]])
def test_help_has_examples(command: list[str]) -> None:
    shown = tidegate_stack(*command, "--help").stdout
    assert "\n  Examples:\n    tidegate stack " in shown


def test_obtaining_tells_where_programs_are() -> None:
    done = tidegate_stack("obtain", "--only", "mosquitto", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mosquitto"]["version"].startswith("2.")
