"""Mosquitto with a gateway's user and a devices' user, each with its own topics, on loopback."""

from __future__ import annotations

import base64
import hashlib
import secrets
import signal
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec.structs import replace

from compose.stack.endpoints import MqttEndpoint, write_private
from compose.stack.mqtt_probe import probe_mqtt
from compose.stack.obtain import Program, obtain
from compose.stack.packaged_recipes import MOSQUITTO
from compose.stack.ports import LOOPBACK
from compose.stack.server import account, own_folder, password, split_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say

DEFAULT_PORT = 1883
HASH_ROUNDS = 101  # Mosquitto's own default for generated passwords; ours have 192 bits

# Messages for a gateway that is away wait in the broker, bounded in bytes rather than by number.
CONFIGURATION = """\
listener {port} {host}
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
user {account}
persistence true
persistence_location {folder}/data/
autosave_interval 30
max_queued_messages 0
max_queued_bytes 268435456
max_inflight_messages 1000
set_tcp_nodelay true
connection_messages false
log_dest stderr
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""

DEVICE_WRITES = ("telemetry", "state", "ack", "clock")
DEVICE_READS = ("command",)
SPARKPLUG_WRITES = ("NBIRTH/+", "NDATA/+", "NDEATH/+", "DBIRTH/+/+", "DDATA/+/+", "DDEATH/+/+")
SPARKPLUG_READS = ("NCMD/+", "DCMD/+/+")


class Mosquitto:
    """A Server with MqttEndpoint."""

    name = "mosquitto"
    field = "mqtt"
    stop_signal = signal.SIGTERM

    def named(self, env: Mapping[str, str]) -> MqttEndpoint | None:
        """TIDEGATE_MQTT_URL=mqtt://user:password@host:port, TIDEGATE_MQTT_DEVICE_USERNAME, _DEVICE_PASSWORD."""
        url = env.get("TIDEGATE_MQTT_URL", "")
        if not url:
            return None
        parts = split_url("TIDEGATE_MQTT_URL", url, ("mqtt",))
        user, secret = unquote(parts.username or ""), unquote(parts.password or "")
        device = env.get("TIDEGATE_MQTT_DEVICE_USERNAME", user)
        device_secret = env.get("TIDEGATE_MQTT_DEVICE_PASSWORD", secret)
        return MqttEndpoint(str(parts.hostname), parts.port or DEFAULT_PORT, user, secret, device, device_secret)

    def obtain(self, env: Mapping[str, str], say: Say) -> Program:
        """The broker's binary."""
        return obtain(MOSQUITTO, env, say)

    def planned(self, port: int) -> MqttEndpoint:
        """Users `gateway` and `device` with generated passwords."""
        return MqttEndpoint(LOOPBACK, port, "gateway", password(), "device", password())

    def port(self, endpoint: MqttEndpoint) -> int:
        """The listener's port."""
        return endpoint.port

    def moved(self, endpoint: MqttEndpoint, port: int) -> MqttEndpoint:
        """With the same users."""
        return replace(endpoint, port=port)

    def address(self, endpoint: MqttEndpoint) -> str:
        """As a URL."""
        return f"mqtt://{endpoint.host}:{endpoint.port}"

    def prepare(self, program: Program, endpoint: MqttEndpoint, folder: Path, env: Mapping[str, str]) -> list[str]:  # noqa: ARG002 - the port's shape
        """Writes configuration, hashed passwords and rights."""
        own_folder(folder / "data")
        text = CONFIGURATION.format(host=LOOPBACK, port=endpoint.port, folder=folder, account=account())
        write_private(folder / "mosquitto.conf", text.encode())
        write_private(folder / "passwords", _passwords(endpoint).encode())
        write_private(folder / "acl", access_list(endpoint).encode())
        return [str(program.path), "-c", str(folder / "mosquitto.conf")]

    def probe(self, endpoint: MqttEndpoint) -> str:
        """Connects as the gateway."""
        probe_mqtt(endpoint)
        return ""

    def settle(self, endpoint: MqttEndpoint) -> None:
        """Nothing."""


def access_list(endpoint: MqttEndpoint) -> str:
    """The gateway's and the devices' rights in mosquitto.conf(5)'s acl_file format."""
    gateway = ["topic readwrite tidegate/#", "topic readwrite spBv1.0/#"]
    device = [f"topic write tidegate/v1/+/+/{part}" for part in DEVICE_WRITES]
    device += [f"topic read tidegate/v1/+/+/{part}" for part in DEVICE_READS]
    device += [f"topic write spBv1.0/+/{part}" for part in SPARKPLUG_WRITES]
    device += [f"topic read spBv1.0/+/{part}" for part in SPARKPLUG_READS]
    lines = [f"user {endpoint.username}", *gateway, "", f"user {endpoint.device_username}", *device]
    return "\n".join(lines) + "\n"


def _passwords(endpoint: MqttEndpoint) -> str:
    users = ((endpoint.username, endpoint.password), (endpoint.device_username, endpoint.device_password))
    return "".join(f"{user}:{hashed(secret)}\n" for user, secret in users)


def hashed(secret: str) -> str:
    """What mosquitto_passwd would write: PBKDF2 with SHA-512, `$7$rounds$salt$hash`."""
    salt = secrets.token_bytes(12)
    derived = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, HASH_ROUNDS)
    return f"$7${HASH_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"
