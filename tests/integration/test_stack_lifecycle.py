"""Up, status and down: on Mosquitto, which starts in an instant, and in general on all of them."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
from msgspec.structs import replace

from compose.stack.endpoints import Endpoints, MqttEndpoint
from compose.stack.errors import DidNotStart, NotReady, StackError
from compose.stack.folder import Started
from compose.stack.mqtt_probe import probe_mqtt
from compose.stack.process import OwnedProcess
from compose.stack.stack import ALL, down, kill, pid_of, running_stack, status, up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import RunningServer

pytestmark = pytest.mark.servers("mosquitto")

ONE = ["mosquitto"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "stack"
    down(tmp_path / "stack")


@pytest.fixture(params=ALL)
def server(request: pytest.FixtureRequest) -> RunningServer[Any]:
    lent: RunningServer[Any] = request.getfixturevalue(request.param)
    return lent


def state(folder: Path, name: str = "mosquitto") -> str:
    return next(server.state for server in status(folder) if server.name == name)


def test_up_twice_changes_nothing(folder: Path) -> None:
    first, pid = up(folder, ONE), pid_of(folder, "mosquitto")
    assert up(folder, ONE) == first
    assert pid_of(folder, "mosquitto") == pid


def test_what_was_asked_for_runs_and_nothing_else(folder: Path) -> None:
    up(folder, ONE)
    assert {server.name: server.state for server in status(folder)} == {
        "kafka": "stopped",
        "mosquitto": "running",
        "influxdb": "stopped",
        "alertmanager": "stopped",
        "prometheus": "stopped",
    }


def test_down_ends_it_and_up_brings_it_back_to_the_same_place(folder: Path) -> None:
    first = up(folder, ONE)
    assert down(folder) == ONE
    assert state(folder) == "stopped"
    with pytest.raises(NotReady):
        probe_mqtt(first.mqtt)
    assert up(folder, ONE) == first


def test_a_killed_server_is_started_again(folder: Path) -> None:
    first = up(folder, ONE)
    kill(folder, ONE)
    assert up(folder, ONE) == first
    assert state(folder) == "running"


def test_a_hanging_server_is_told_apart_from_a_stopped_one(folder: Path) -> None:
    up(folder, ONE)
    process = psutil.Process(pid_of(folder, "mosquitto"))
    process.suspend()
    assert state(folder) == "silent"
    process.resume()
    assert state(folder) == "running"


def test_a_port_that_others_took_meanwhile_is_given_up(folder: Path) -> None:
    first = up(folder, ONE)
    down(folder)
    with socket.create_server(("127.0.0.1", first.mqtt.port)):
        second = up(folder, ONE)
    assert second.mqtt.port != first.mqtt.port
    assert second.mqtt.password == first.mqtt.password


def test_down_leaves_other_processes_alone(folder: Path, mosquitto: RunningServer[MqttEndpoint]) -> None:
    up(folder, ONE)
    record = folder / "mosquitto" / "process.json"
    started = msgspec.json.decode(record.read_bytes(), type=Started)
    other = OwnedProcess(mosquitto.pid or 0, started.process.started - 3600)
    record.write_bytes(msgspec.json.encode(replace(started, process=other)))
    assert down(folder) == []
    assert mosquitto.pid == other.pid
    record.write_bytes(msgspec.json.encode(started))
    assert down(folder) == ONE


def test_two_at_once_start_one(folder: Path) -> None:
    found: list[Endpoints] = []
    threads = [threading.Thread(target=lambda: found.append(up(folder, ONE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(repr, found))) == 1
    brokers = [child for child in psutil.Process().children() if str(folder) in " ".join(child.cmdline())]
    assert len(brokers) == 1


def test_a_server_that_cannot_start_shows_its_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compose.stack.mosquitto.CONFIGURATION", "no_such_setting {port} {host} {folder} {account}\n")
    with pytest.raises(DidNotStart, match="no_such_setting"):
        up(folder, ONE)
    assert state(folder) == "stopped"


def test_an_owned_stack_ends_with_its_block(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), running_stack(folder, ONE) as endpoints:
        raise ZeroDivisionError(endpoints.mqtt.port)
    assert state(folder) == "stopped"


def test_a_broker_in_the_environment_is_used_and_never_stopped(
    folder: Path, mosquitto: RunningServer[MqttEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = mosquitto.endpoint
    url = f"mqtt://{there.username}:{there.password}@{there.host}:{there.port}"
    monkeypatch.setenv("TIDEGATE_MQTT_URL", url)
    used = up(folder, ONE).mqtt
    assert (used.port, used.username) == (there.port, there.username)
    assert state(folder) == "foreign"
    assert down(folder) == []
    probe_mqtt(there)
    monkeypatch.delenv("TIDEGATE_MQTT_URL")
    assert up(folder, ONE).mqtt.port != there.port


def test_a_broker_in_the_environment_that_does_not_answer_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_MQTT_URL", "mqtt://127.0.0.1:1")
    with pytest.raises(StackError, match="refused"):
        up(folder, ONE)


def test_an_unknown_name_is_told(folder: Path) -> None:
    with pytest.raises(StackError, match="no server is called rabbit; there are kafka, mosquitto"):
        up(folder, ["rabbit"])


def test_everything_in_the_folder_is_for_its_owner_only(folder: Path) -> None:
    up(folder, ONE)
    assert folder.stat().st_mode & 0o777 == 0o700
    secret = Endpoints.load(folder / "endpoints.json").mqtt.password.encode()
    holders = [path for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert holders
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


@pytest.mark.servers(*ALL)
def test_it_listens_on_loopback_only(server: RunningServer[Any]) -> None:
    process = psutil.Process(server.pid)
    open_ports = [c for c in process.net_connections("inet") if c.status in ("LISTEN", "NONE")]
    assert open_ports
    assert {c.laddr.ip.removeprefix("::ffff:") for c in open_ports} == {"127.0.0.1"}


@pytest.mark.servers(*ALL)
def test_no_secret_is_on_its_command_line_or_in_its_environment(server: RunningServer[Any]) -> None:
    process = psutil.Process(server.pid)
    shown = " ".join([*process.cmdline(), *process.environ().values()])
    hidden = [getattr(server.endpoint, name, "") for name in ("password", "device_password", "token")]
    assert any(hidden)
    assert not [secret for secret in hidden if secret and secret in shown]
