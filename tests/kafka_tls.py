"""A Kafka broker of a test's own that wants TLS, a client's certificate and a SCRAM password."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from compose.stack.kafka import JVM
from compose.stack.kafka_recipe import KafkaRecipe, java
from compose.stack.obtain import obtain
from compose.stack.ports import free_port, is_free

if TYPE_CHECKING:
    from pathlib import Path

USER, PASSWORD = "tidegate", "correct horse"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=SECURE://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SECURE://127.0.0.1:{port}
inter.broker.listener.name=SECURE
controller.listener.names=CONTROLLER
listener.security.protocol.map=SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="{user}" password="{password}";
listener.name.secure.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/authority.pem
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
"""


class Signer(NamedTuple):
    name: x509.Name
    key: ec.EllipticCurvePrivateKey


class SecureBroker:
    """Runs in `folder`, where `authority.pem`, `client.pem` and `client-key.pem` are for its clients."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        authority = Signer(_name("authority"), ec.generate_private_key(ec.SECP256R1()))
        (folder / "authority.pem").write_bytes(_certificate(authority, authority).public_bytes(Encoding.PEM))
        for who in ("broker", "client"):
            _issue(folder, who, authority)
        settings = PROPERTIES.format(
            port=self.port, controller=free_port(), user=USER, password=PASSWORD, folder=folder
        )
        (folder / "server.properties").write_text(settings)
        jars = obtain(KafkaRecipe(), os.environ, lambda _: None).path
        self._command = [str(java(os.environ, lambda _: None)), *JVM, "-cp", f"{jars}/*"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def file(self, name: str) -> str:
        return str(self._folder / name)

    def start(self) -> None:
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        properties = str(self._folder / "server.properties")
        form = ["kafka.tools.StorageTool", "format", "--cluster-id=AAAAAAAAAAAAAAAAAAAAAA", "--add-scram", scram]
        with (self._folder / "log").open("wb") as log:
            subprocess.run([*self._command, *form, "--config", properties], check=True, stdout=log, stderr=log)
            self._process = subprocess.Popen([*self._command, "kafka.Kafka", properties], stdout=log, stderr=log)
        while is_free(self.port):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def _issue(folder: Path, who: str, authority: Signer) -> None:
    own = Signer(_name(who), ec.generate_private_key(ec.SECP256R1()))
    certificate = _certificate(own, authority).public_bytes(Encoding.PEM)
    key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{who}.pem").write_bytes(key + certificate if who == "broker" else certificate)
    (folder / f"{who}-key.pem").write_bytes(key)


def _certificate(own: Signer, authority: Signer) -> x509.Certificate:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(own.name)
        .issuer_name(authority.name)
        .public_key(own.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=10_000))
        .add_extension(x509.BasicConstraints(ca=own is authority, path_length=None), critical=True)
        .add_extension(address, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
