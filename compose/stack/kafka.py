"""Apache Kafka as one node that is broker and controller (KRaft), both sides with SASL/PLAIN on loopback."""

from __future__ import annotations

import base64
import secrets
import signal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from compose.stack.endpoints import KafkaEndpoint, write_private
from compose.stack.kafka_probe import probe_kafka
from compose.stack.kafka_recipe import KafkaRecipe, java
from compose.stack.obtain import Program, obtain
from compose.stack.ports import LOOPBACK, free_port
from compose.stack.server import own_folder, password
from compose.stack.steps import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say

# The compilers that pay off after minutes only cost a small, short-lived broker; so does the memory-mapped perf file.
JVM = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true")

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=CLIENT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=CLIENT://{host}:{port}
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config={jaas}
listener.name.controller.plain.sasl.jaas.config={jaas}
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=5000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class Kafka:
    """A Server with KafkaEndpoint."""

    name = "kafka"
    field = "kafka"
    stop_signal = signal.SIGTERM

    def named(self, env: Mapping[str, str]) -> KafkaEndpoint | None:
        """TIDEGATE_KAFKA_BOOTSTRAP, _USERNAME, _PASSWORD, _MECHANISM."""
        bootstrap = env.get("TIDEGATE_KAFKA_BOOTSTRAP", "")
        if not bootstrap:
            return None
        username, secret = env.get("TIDEGATE_KAFKA_USERNAME", ""), env.get("TIDEGATE_KAFKA_PASSWORD", "")
        return KafkaEndpoint(bootstrap, username, secret, env.get("TIDEGATE_KAFKA_MECHANISM", "PLAIN"))

    def obtain(self, env: Mapping[str, str], say: Say) -> Program:
        """The jars, and a Java that runs them."""
        java(env, say)
        return obtain(KafkaRecipe(), env, say)

    def planned(self, port: int) -> KafkaEndpoint:
        """User `tidegate` with a generated password."""
        return KafkaEndpoint(f"{LOOPBACK}:{port}", "tidegate", password())

    def port(self, endpoint: KafkaEndpoint) -> int:
        """The clients' port; the controller's is chosen at each start."""
        return int(endpoint.bootstrap.rpartition(":")[2])

    def moved(self, endpoint: KafkaEndpoint, port: int) -> KafkaEndpoint:
        """With the same credentials."""
        return replace(endpoint, bootstrap=f"{LOOPBACK}:{port}")

    def address(self, endpoint: KafkaEndpoint) -> str:
        """The bootstrap servers."""
        return endpoint.bootstrap

    def prepare(self, program: Program, endpoint: KafkaEndpoint, folder: Path, env: Mapping[str, str]) -> list[str]:
        """Writes the properties, formats the storage at the first start."""
        write_private(folder / "server.properties", _properties(endpoint, self.port(endpoint), folder).encode())
        write_private(folder / "log4j2.properties", LOGGING.encode())
        command = _command(program, folder, env)
        if not (folder / "data" / "meta.properties").exists():
            _format(command, folder, env)
        return [*command, "kafka.Kafka", str(folder / "server.properties")]

    def probe(self, endpoint: KafkaEndpoint) -> str:
        """Signs in and asks for the live brokers."""
        probe_kafka(endpoint)
        return ""

    def settle(self, endpoint: KafkaEndpoint) -> None:
        """Nothing: topics are their users' business."""


def _properties(endpoint: KafkaEndpoint, port: int, folder: Path) -> str:
    user, secret = endpoint.username, endpoint.password
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    jaas = f'{module} required username="{user}" password="{secret}" user_{user}="{secret}";'
    return PROPERTIES.format(host=LOOPBACK, port=port, controller=free_port(), jaas=jaas, data=folder / "data")


def _command(program: Program, folder: Path, env: Mapping[str, str]) -> list[str]:
    # zstd and snappy unpack their native code there; /tmp may forbid running it.
    scratch = own_folder(folder / "tmp")
    settings = [f"-Djava.io.tmpdir={scratch}", f"-Dlog4j2.configurationFile=file:{folder / 'log4j2.properties'}"]
    return [str(java(env, lambda _: None)), *JVM, *settings, "-cp", f"{program.path}/*"]


def _format(command: list[str], folder: Path, env: Mapping[str, str]) -> None:
    # With "=", because an id may begin with a dash.
    cluster = f"--cluster-id={base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip('=')}"
    properties = str(folder / "server.properties")
    argv = [*command, "kafka.tools.StorageTool", "format", cluster, "--ignore-formatted", "--config", properties]
    run(argv, what="kafka: formatting", folder=folder, env=env, log=folder / "format.log", say=lambda _: None)
