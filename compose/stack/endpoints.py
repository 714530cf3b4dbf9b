"""Where the servers of a stack are and how to sign in, as one small file that only its owner reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class KafkaEndpoint(msgspec.Struct, frozen=True):
    """A Kafka cluster; an empty username means a listener without authentication."""

    bootstrap: str
    username: str = ""
    password: str = ""
    mechanism: str = "PLAIN"

    @property
    def security_protocol(self) -> str:
        """The protocol's name as Kafka clients spell it."""
        return "SASL_PLAINTEXT" if self.username else "PLAINTEXT"


class MqttEndpoint(msgspec.Struct, frozen=True):
    """An MQTT broker with a gateway's user and one that simulated devices share."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    device_username: str = ""
    device_password: str = ""


class InfluxEndpoint(msgspec.Struct, frozen=True):
    """An InfluxDB 2 organisation and bucket with a token that may do everything in it."""

    url: str
    org: str
    bucket: str
    token: str


class AlertmanagerEndpoint(msgspec.Struct, frozen=True):
    """An Alertmanager; an empty username means that it asks for none."""

    url: str
    username: str = ""
    password: str = ""


class PrometheusEndpoint(msgspec.Struct, frozen=True):
    """A Prometheus; an empty username means that it asks for none."""

    url: str
    username: str = ""
    password: str = ""


class Endpoints(msgspec.Struct, frozen=True):
    """All of them; `status` tells which of them run. A file from before Prometheus was among them has none."""

    kafka: KafkaEndpoint
    mqtt: MqttEndpoint
    influxdb: InfluxEndpoint
    alertmanager: AlertmanagerEndpoint
    prometheus: PrometheusEndpoint | None = None

    @classmethod
    def load(cls, path: Path) -> Endpoints:
        """Reads a file that `save` wrote. Raises OSError, msgspec.ValidationError, msgspec.DecodeError."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def save(self, path: Path) -> None:
        """Replaces the file atomically; its mode is 0600."""
        write_private(path, msgspec.json.format(msgspec.json.encode(self), indent=2))


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read, in one atomic step."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    # The mode belongs to the creation: a later chmod would leave a moment in which others may read.
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    staged.replace(path)
