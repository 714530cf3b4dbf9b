"""Which log a configuration opens, and which configurations are refused, with what is wrong."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ingest.contract.topics import every_topic
from ingest.runtime.clock import ManualClock
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from ingest.runtime.log.kafka.topics import topic_configs
from ingest.runtime.log.open import LogConfig, open_log
from ingest.runtime.log.port import LogUnavailableError
from ingest.runtime.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from pathlib import Path


async def test_sqlite(tmp_path: Path) -> None:
    log = open_log(LogConfig(kind="sqlite", path=str(tmp_path / "log.db")), ManualClock())
    assert isinstance(log, SqliteLog)
    assert not (tmp_path / "log.db").exists()
    await log.close()


def test_who_reads_little_asks_less_often() -> None:
    config = LogConfig(kind="kafka", bootstrap="kafka-1:9092")
    usual, seldom = config.kafka().paces(), config.kafka(seldom=True).paces()
    assert all(seldom[name] > usual[name] for name in usual)
    hurried = msgspec.structs.replace(config.kafka(seldom=True), session_timeout_s=6.0)
    assert hurried.paces()["heartbeat_interval_ms"] == 600


async def test_kafka_is_not_asked_before_it_is_used() -> None:
    log = open_log(LogConfig(kind="kafka", bootstrap="kafka-1:9092, kafka-2:9092"), ManualClock())
    assert isinstance(log, KafkaLog)
    await log.close()


def test_everything_for_kafka_reaches_it() -> None:
    config = msgspec.convert(
        {
            "kind": "kafka",
            "bootstrap": "a:1",
            "username": "u",
            "password_file": "p",
            "mechanism": "SCRAM-SHA-512",
            "tls_ca": "ca",
            "tls_certificate": "crt",
            "tls_key": "key",
            "client_id": "me",
            "replication": 3,
        },
        LogConfig,
    )
    expected = {name: value for name, value in msgspec.structs.asdict(config).items() if name not in ("kind", "path")}
    assert expected.items() <= msgspec.structs.asdict(config.kafka()).items()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "sqlite"}, "path: missing"),
        ({"kind": "kafka"}, "bootstrap: found ''"),
        ({"kind": "kafka", "bootstrap": "localhost"}, "expected host:port"),
        ({"kind": "kafka", "bootstrap": "a:1,b:x"}, "expected host:port"),
        ({"kind": "kafka", "bootstrap": "a:1", "username": "u"}, "password_file: set both"),
        ({"kind": "kafka", "bootstrap": "a:1", "password_file": "p"}, "password_file: set both"),
        ({"kind": "kafka", "bootstrap": "a:1", "mechanism": "plain"}, "mechanism: found 'plain'"),
        ({"kind": "kafka", "bootstrap": "a:1", "tls_key": "k"}, "tls_key: set both"),
        ({"kind": "kafka", "bootstrap": "a:1", "tls_key": "k", "tls_certificate": "c"}, "tls_ca with them"),
        ({"kind": "kafka", "bootstrap": "a:1", "username": "u", "password_file": "p"}, "shows the password"),
        (
            {"kind": "kafka", "bootstrap": "127.0.0.1:1,b:1", "username": "u", "password_file": "p"},
            "shows the password",
        ),
    ],
)
def test_contradictions_are_told(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_log(msgspec.convert(settings, LogConfig), ManualClock())


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092", "127.0.0.1:1,localhost:2"])
def test_a_plain_password_may_stay_on_the_machine(bootstrap: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\nnot this\n")
    config = KafkaConfig(bootstrap=bootstrap, username="u", password_file=str(tmp_path / "password"))
    config.check()
    client = config.client()
    assert client["sasl_plain_password"] == "s3cret"
    assert client["security_protocol"] == "SASL_PLAINTEXT"
    assert "s3cret" not in repr(config)


@pytest.mark.parametrize("content", [None, ""])
def test_a_password_that_cannot_be_read_may_be_readable_later(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "password").write_text(content)
    config = KafkaConfig(bootstrap="localhost:1", username="u", password_file=str(tmp_path / "password"))
    with pytest.raises(LogUnavailableError, match="credentials"):
        config.client()


def test_tls_verifies_the_brokers_and_shows_the_clients_certificate(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    config = KafkaConfig(bootstrap="broker:9093", tls_ca=certificate, tls_certificate=certificate, tls_key=key)
    config.check()
    client = config.client()
    assert client["security_protocol"] == "SSL"
    assert client["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert client["ssl_context"].check_hostname
    assert len(client["ssl_context"].get_ca_certs()) == 1
    with pytest.raises(LogUnavailableError, match="credentials"):
        KafkaConfig(bootstrap="b:1", tls_ca=key).client()


def test_the_systems_own_authorities_can_be_trusted() -> None:
    assert KafkaConfig(bootstrap="b:1", tls_ca="system").client()["security_protocol"] == "SSL"


def test_compacted_topics_keep_every_change_for_a_day() -> None:
    configs = {name: topic_configs(settings) for name, settings in every_topic().items()}
    assert configs["fleet.alerts.v1"]["cleanup.policy"] == "compact"
    assert configs["fleet.alerts.v1"]["min.compaction.lag.ms"] == "86400000"
    assert "cleanup.policy" not in configs["telemetry.rollups.v1"]
    assert configs["telemetry.rollups.v1"]["retention.ms"] == str(7 * 86_400_000)


def self_signed(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = datetime(2024, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), start, start + timedelta(9999)
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(folder / "certificate.pem"), str(folder / "key.pem")
