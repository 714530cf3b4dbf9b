"""Endpoints as files, in the environment, and on ports."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from compose.stack.alertmanager import Alertmanager, bcrypt
from compose.stack.endpoints import (
    AlertmanagerEndpoint,
    Endpoints,
    InfluxEndpoint,
    KafkaEndpoint,
    MqttEndpoint,
    PrometheusEndpoint,
    write_private,
)
from compose.stack.errors import StackError
from compose.stack.influxdb import Influxdb
from compose.stack.kafka import Kafka
from compose.stack.mosquitto import Mosquitto, access_list, hashed
from compose.stack.ports import free_port, is_free
from compose.stack.server import password
from compose.stack.stack import SERVERS

SOME = Endpoints(
    kafka=KafkaEndpoint("127.0.0.1:1", "u", "p"),
    mqtt=MqttEndpoint("127.0.0.1", 2, "gateway", "g", "device", "d"),
    influxdb=InfluxEndpoint("http://127.0.0.1:3", "o", "b", "t"),
    alertmanager=AlertmanagerEndpoint("http://127.0.0.1:4", "u", "p"),
    prometheus=PrometheusEndpoint("http://127.0.0.1:5", "u", "p"),
)


def test_endpoints_are_read_back_as_saved(tmp_path: Path) -> None:
    SOME.save(tmp_path / "endpoints.json")
    assert Endpoints.load(tmp_path / "endpoints.json") == SOME


def test_a_file_from_before_prometheus_was_there_is_read(tmp_path: Path) -> None:
    old = msgspec.to_builtins(SOME)
    del old["prometheus"]
    (tmp_path / "endpoints.json").write_bytes(msgspec.json.encode(old))
    assert Endpoints.load(tmp_path / "endpoints.json") == msgspec.structs.replace(SOME, prometheus=None)


def test_only_the_owner_may_read_them_even_where_others_could_before(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_text("{}")
    path.chmod(0o644)
    SOME.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [left.name for left in tmp_path.iterdir()] == ["endpoints.json"]


def test_a_writer_that_was_killed_halfway_does_not_block_the_next(tmp_path: Path) -> None:
    (tmp_path / f".file.{os.getpid()}").write_text("half")
    write_private(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_free_ports_lie_where_no_client_connection_begins() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(free_port() for _ in range(50)) < lowest


def test_nobody_is_told_a_port_that_somebody_else_was_told(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: free_port(tmp_path / "last"), range(400)))
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("text", ["", "no number", "-1", "99999999", "15_000"])
def test_whatever_the_file_of_the_last_port_holds(tmp_path: Path, text: str) -> None:
    (tmp_path / "last").write_text(text)
    assert is_free(free_port(tmp_path / "last"))


def test_after_the_last_port_comes_the_first(tmp_path: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    (tmp_path / "last").write_text(str(lowest - 1))
    assert free_port(tmp_path / "last") < lowest - 1


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_fresh_plan_has_secrets_of_its_own() -> None:
    first, second = Kafka().planned(1), Kafka().planned(1)
    assert first.password != second.password
    assert len(password()) >= 32


def test_moving_keeps_the_credentials() -> None:
    for server in SERVERS.values():
        endpoint = getattr(SOME, server.field)
        moved = server.moved(endpoint, 9)
        assert server.port(moved) == 9
        assert server.moved(moved, server.port(endpoint)) == endpoint


def test_kafka_in_the_environment() -> None:
    assert Kafka().named({}) is None
    open_listener = Kafka().named({"TIDEGATE_KAFKA_BOOTSTRAP": "k:9092"})
    assert open_listener == KafkaEndpoint("k:9092")
    assert open_listener.security_protocol == "PLAINTEXT"
    env = {"TIDEGATE_KAFKA_BOOTSTRAP": "k:9092", "TIDEGATE_KAFKA_USERNAME": "u", "TIDEGATE_KAFKA_PASSWORD": "p"}
    assert Kafka().named(env) == KafkaEndpoint("k:9092", "u", "p", "PLAIN")


def test_a_broker_in_the_environment() -> None:
    assert Mosquitto().named({}) is None
    both = Mosquitto().named({"TIDEGATE_MQTT_URL": "mqtt://me:p%40ss@broker:1884"})
    assert both == MqttEndpoint("broker", 1884, "me", "p@ss", "me", "p@ss")
    assert Mosquitto().named({"TIDEGATE_MQTT_URL": "mqtt://broker"}) == MqttEndpoint("broker", 1883)


def test_influxdb_in_the_environment_needs_all_four() -> None:
    env = {"TIDEGATE_INFLUXDB_URL": "http://i:8086/", "TIDEGATE_INFLUXDB_ORG": "o", "TIDEGATE_INFLUXDB_BUCKET": "b"}
    with pytest.raises(StackError, match="TIDEGATE_INFLUXDB_TOKEN must be set as well"):
        Influxdb().named(env)
    full = Influxdb().named(env | {"TIDEGATE_INFLUXDB_TOKEN": "t"})
    assert full == InfluxEndpoint("http://i:8086", "o", "b", "t")


def test_an_alertmanager_in_the_environment_keeps_its_user_out_of_the_address() -> None:
    found = Alertmanager().named({"TIDEGATE_ALERTMANAGER_URL": "https://u:p@a:9093/am/"})
    assert found == AlertmanagerEndpoint("https://a:9093/am", "u", "p")
    assert "p@" not in Alertmanager().address(found)


@pytest.mark.parametrize("url", ["broker:1883", "http://u:hunter2@broker", "mqtt://"])
def test_a_url_that_is_none_is_told_without_its_secret(url: str) -> None:
    with pytest.raises(StackError, match=r"TIDEGATE_MQTT_URL: found .* expected mqtt://host:port") as told:
        Mosquitto().named({"TIDEGATE_MQTT_URL": url})
    assert "hunter2" not in str(told.value)


def test_hashes_are_salted() -> None:
    assert hashed("x") != hashed("x")
    assert hashed("x").startswith("$7$101$")
    assert bcrypt("x") != bcrypt("x")
    assert len(bcrypt("x")) == 60


def test_devices_may_not_write_commands_by_any_rule() -> None:
    rules = access_list(SOME.mqtt).partition("user device\n")[2].splitlines()
    writes = [rule for rule in rules if "write" in rule]
    assert writes
    assert not [rule for rule in writes if "command" in rule or "CMD" in rule or "#" in rule]
