"""Settings that cannot work or are unsafe are refused with a sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_aggregator.receive.config import BrokerConfig, ListenerConfig
from edge_aggregator.receive.mqtt.credentials import Credentials, read_credentials
from ingest.runtime.addresses import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

BROKER: dict[str, Any] = {"client_id": "edge-1", "topics": ["tidegate/v1/s/+/telemetry", "spBv1.0/#", "#"]}
LISTENER: dict[str, Any] = {"site": "harbour"}
TLS = {"cert_file": "cert.pem", "key_file": "key.pem"}


def test_the_least_that_is_needed() -> None:
    assert msgspec.convert(BROKER, BrokerConfig).port == 1883
    assert msgspec.convert(LISTENER, ListenerConfig).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topics": ["$share/edges/tidegate/v1/s/+/telemetry"]}, "split the site by device"),
        ({"topics": []}, "topics is empty"),
        ({"topics": ["a/#/b"]}, "# only as the last"),
        ({"topics": ["a/b+"]}, r"\+ for any one level"),
        ({"topics": [""]}, "topics has ''"),
        ({"client_id": ""}, "client_id is empty"),
        ({"keepalive_s": 0}, "keepalive_s is 0"),
        ({"max_packet_bytes": 10}, "max_packet_bytes is 10"),
        ({"port": 70_000}, "port is 70000"),
        ({"in_flight_window": 0}, "in_flight_window is 0"),
        ({"hots": "broker"}, "unknown field `hots`"),
    ],
)
def test_a_broker_that_cannot_work(change: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(BROKER | change, BrokerConfig)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"host": "0.0.0.0"}, "give tls and credentials_file, or listen on 127.0.0.1"),  # noqa: S104 - is refused
        ({"host": "::"}, "give tls and credentials_file"),
        ({"host": "gateway.example"}, "give tls and credentials_file"),
        ({"host": "10.0.0.7", "credentials_file": "devices"}, "give tls and credentials_file"),
        ({"host": "10.0.0.7", "tls": TLS}, "give tls and credentials_file"),
        ({"tls": {"ca_file": "ca.pem"}}, "name both"),
        ({"site": "a/b"}, "site is 'a/b'"),
        ({"max_connections": 0}, "max_connections is 0"),
    ],
)
def test_a_listener_that_is_unsafe_or_cannot_work(change: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(LISTENER | change, ListenerConfig)


def test_a_listener_for_others_has_both() -> None:
    open_to_others = LISTENER | {"host": "10.0.0.7", "tls": TLS, "credentials_file": "devices"}
    assert msgspec.convert(open_to_others, ListenerConfig).host == "10.0.0.7"


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("127.8.8.8", True), ("::1", True), ("::", False)])
def test_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_loopback(host) is loopback


def test_credentials_admit_a_device_with_its_own_password_only() -> None:
    credentials = Credentials({"pump-1": "one", "pump-2": "two"})
    assert credentials.admit("pump-1", "pump-1", b"one")
    assert not credentials.admit("pump-1", "pump-1", b"two")
    assert not credentials.admit("pump-1", "pump-2", b"one")
    assert not credentials.admit("pump-1", None, b"one")
    assert not credentials.admit("pump-1", "pump-1", None)
    assert not credentials.admit("pump-3", "pump-3", b"nobody")


def private(path: Path, content: str) -> str:
    path.touch(mode=0o600)
    path.write_text(content)
    return str(path)


def test_credentials_are_read_line_by_line(tmp_path: Path) -> None:
    path = private(tmp_path / "devices", "# pumps\npump-1:one\n\npump-2:t:w o\n")
    assert read_credentials(path) == {"pump-1": "one", "pump-2": "t:w o"}


@pytest.mark.parametrize("line", ["pump-2", "pump-2:", ":secret", "pump 2:secret", "pump-1:secret"])
def test_a_bad_line_is_named_without_its_password(tmp_path: Path, line: str) -> None:
    path = private(tmp_path / "devices", f"pump-1:one\n{line}\n")
    with pytest.raises(ValueError, match="line 2") as caught:
        read_credentials(path)
    assert "secret" not in str(caught.value)


def test_credentials_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "devices"
    path.write_text("pump-1:one\n")
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        read_credentials(str(path))
