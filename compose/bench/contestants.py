"""Who is measured: the edge as it is shipped, and Telegraf doing the same work."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from compose.stack.endpoints import write_private
from ingest.contract.batch_wire import decode_batch
from ingest.contract.topics import ROLLUPS, every_topic
from ingest.runtime.secrets import generate_private_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.endpoints import KafkaEndpoint, MqttEndpoint
    from ingest.contract.topics import TopicSettings

TENANT = "bench"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one run reads and writes. `site` is the run's own, so that nothing of another run is counted."""

    folder: Path
    site: str
    mqtt: MqttEndpoint
    kafka: KafkaEndpoint
    window_s: float


class Contestant(Protocol):
    """A program that reads MQTT, makes windows, and writes Kafka."""

    name: str

    def prepare(self, place: Place) -> list[str]:
        """Write the configuration; the command to start."""
        ...

    def topics(self, place: Place) -> Mapping[str, TopicSettings]:
        """The Kafka topics that it wants to be there."""
        ...

    def counted(self, place: Place) -> str:
        """The topic in which its windows arrive."""
        ...

    def samples(self, value: bytes, place: Place) -> int:
        """How many samples one record stands for."""
        ...


class Edge:
    """`tidegate edge run`: journal fsynced, windows, outbox, Kafka with acks=all and zstd."""

    name = "edge"

    def prepare(self, place: Place) -> list[str]:
        """Defaults but for the window, the number of series, and how soon a silent device's window closes."""
        place.folder.mkdir(parents=True, exist_ok=True)
        generate_private_key(place.folder / "key.pem")
        for name, secret in (("mqtt", place.mqtt.password), ("kafka", place.kafka.password)):
            write_private(place.folder / name, secret.encode())
        (place.folder / "edge.toml").write_text(_EDGE.format(place=place, folder=place.folder, idle=place.window_s / 2))
        return [sys.executable, "-m", "compose.cli", "edge", "run", str(place.folder / "edge.toml")]

    def topics(self, place: Place) -> Mapping[str, TopicSettings]:  # noqa: ARG002 - the port's shape
        """Those of the contract."""
        return every_topic()

    def counted(self, place: Place) -> str:  # noqa: ARG002 - the port's shape
        """Rollups."""
        return ROLLUPS

    def samples(self, value: bytes, place: Place) -> int:
        """What its entry in the ledger says that it adds: a window that late samples correct is shipped whole again."""
        batch = decode_batch(value)
        return batch.ledger.net + batch.ledger.carried if batch.origin.site == place.site else 0


class Telegraf:
    """`mqtt_consumer` → `basicstats` → `kafka` with acks=all and zstd; it keeps no journal."""

    name = "telegraf"

    def __init__(self, program: Path) -> None:
        self._program = program

    def prepare(self, place: Place) -> list[str]:
        """With as much room for undelivered messages as a comparison at speed needs."""
        place.folder.mkdir(parents=True, exist_ok=True)
        config = place.folder / "telegraf.conf"
        write_private(config, _TELEGRAF.format(place=place, seconds=f"{place.window_s:g}").encode())
        return [str(self._program), "--config", str(config), "--quiet"]

    def topics(self, place: Place) -> Mapping[str, TopicSettings]:
        """A topic of the run's own, with the settings of rollups."""
        return {self.counted(place): every_topic()[ROLLUPS]}

    def counted(self, place: Place) -> str:
        """The run's own topic."""
        return f"telegraf-{place.site}"

    def samples(self, value: bytes, place: Place) -> int:  # noqa: ARG002 - the port's shape
        """The sum of all fields that count."""
        fields = msgspec.json.decode(value)["fields"]
        return int(sum(number for name, number in fields.items() if name.endswith("_count")))


_EDGE = """\
[edge]
tenant = "bench"
site = "{place.site}"
gateway = "gateway-{place.site}"
key_file = "{folder}/key.pem"
data_dir = "{folder}/data"
window_s = {place.window_s}
idle_close_s = {idle}

[edge.broker]
client_id = "gateway-{place.site}"
host = "{place.mqtt.host}"
port = {place.mqtt.port}
topics = ["tidegate/v1/{place.site}/+/telemetry", "tidegate/v1/{place.site}/+/state"]
username = "{place.mqtt.username}"
password_file = "{folder}/mqtt"

[log]
kind = "kafka"
bootstrap = "{place.kafka.bootstrap}"
username = "{place.kafka.username}"
password_file = "{folder}/kafka"
mechanism = "{place.kafka.mechanism}"

[observe]
port = 0
"""

_TELEGRAF = """\
[agent]
  interval = "{seconds}s"
  flush_interval = "{seconds}s"
  metric_buffer_limit = 1000000
  metric_batch_size = 10000
  omit_hostname = true
  skip_processors_after_aggregators = true

[[inputs.mqtt_consumer]]
  servers = ["tcp://{place.mqtt.host}:{place.mqtt.port}"]
  topics = ["tidegate/v1/{place.site}/+/telemetry"]
  username = "{place.mqtt.username}"
  password = "{place.mqtt.password}"
  client_id = "telegraf-{place.site}"
  qos = 1
  persistent_session = true
  max_undelivered_messages = 100000
  data_format = "json"
  json_time_key = "ts"
  json_time_format = "unix_ms"

[[aggregators.basicstats]]
  period = "{seconds}s"
  grace = "{seconds}s"
  drop_original = true
  stats = ["count", "sum", "min", "max", "mean", "s2"]

[[outputs.kafka]]
  brokers = ["{place.kafka.bootstrap}"]
  topic = "telegraf-{place.site}"
  sasl_mechanism = "{place.kafka.mechanism}"
  sasl_username = "{place.kafka.username}"
  sasl_password = "{place.kafka.password}"
  data_format = "json"
  required_acks = -1
  compression_codec = 4
  version = "2.8.0"
"""
