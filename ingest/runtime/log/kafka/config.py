"""How to reach and sign in to Kafka, and what of it would give secrets away."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import msgspec

from ingest.runtime.addresses import is_loopback
from ingest.runtime.log.port import LogUnavailableError

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SYSTEM_CA = "system"


class KafkaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`bootstrap`: comma-separated host:port. Paths are of files; empty strings mean "none".

    TLS is on when `tls_ca` names a file of certificates (or is "system": the operating system's); `tls_certificate` and
    `tls_key` are the client's own. SASL is on when `username` is set; the password is the first line of `password_file`.
    `replication` -1 leaves the number of replicas to the broker.
    """

    bootstrap: str
    client_id: str = "tidegate"
    username: str = ""
    password_file: str = ""
    mechanism: str = "PLAIN"
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    replication: int = -1
    session_timeout_s: float = 30.0
    """A member of a group that is not heard for so long loses its partitions to the others."""
    seldom: bool = False
    """Records are rare and groups have one member: what is asked again and again is asked less often."""

    def check(self) -> None:
        """Raises ValueError that names the field and what is expected."""
        if not all(_is_address(address) for address in self.addresses()):
            raise ValueError(f"bootstrap: found {self.bootstrap!r}, expected host:port, several separated by commas")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file: set both, or none")
        if self.mechanism not in MECHANISMS:
            raise ValueError(f"mechanism: found {self.mechanism!r}, expected one of {', '.join(MECHANISMS)}")
        if bool(self.tls_certificate) != bool(self.tls_key) or (self.tls_key and not self.tls_ca):
            raise ValueError("tls_certificate and tls_key: set both, and tls_ca with them, or none")
        if self.username and self.mechanism == "PLAIN" and not self.tls_ca and not self._all_loopback():
            raise ValueError(
                f"mechanism: PLAIN without TLS shows the password to the network on its way to {self.bootstrap}; "
                "set tls_ca, or use SCRAM-SHA-512"
            )

    def paces(self) -> dict[str, int]:
        """How often a consumer of aiokafka asks when there is nothing: what comes is sent at once all the same."""
        most = 3000 if self.seldom else 1000
        return {
            "heartbeat_interval_ms": min(most, round(self.session_timeout_s * 100)),
            "fetch_max_wait_ms": 2000 if self.seldom else 500,
            "consumer_timeout_ms": 2000 if self.seldom else 200,
        }

    def addresses(self) -> list[str]:
        """The bootstrap servers."""
        return [address.strip() for address in self.bootstrap.split(",")]

    def client(self) -> dict[str, Any]:
        """What every client of aiokafka is told. Raises LogUnavailableError when a file cannot be read."""
        try:
            secrets = self._tls() | self._sasl()
        except (OSError, ssl.SSLError, IndexError) as error:
            raise LogUnavailableError(f"kafka: cannot read the credentials: {error}") from error
        return {"bootstrap_servers": self.addresses(), "client_id": self.client_id, **secrets}

    def _tls(self) -> dict[str, Any]:
        if not self.tls_ca:
            return {"security_protocol": "SASL_PLAINTEXT" if self.username else "PLAINTEXT"}
        context = ssl.create_default_context(cafile=None if self.tls_ca == SYSTEM_CA else self.tls_ca)
        if self.tls_certificate:
            context.load_cert_chain(self.tls_certificate, self.tls_key)
        return {"security_protocol": "SASL_SSL" if self.username else "SSL", "ssl_context": context}

    def _sasl(self) -> dict[str, Any]:
        # Read at every connection, so that a password that was changed on disk is taken without a restart.
        if not self.username:
            return {}
        password = Path(self.password_file).read_text(encoding="utf-8").splitlines()[0]
        return {
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": password,
        }

    def _all_loopback(self) -> bool:
        return all(is_loopback(address.rpartition(":")[0]) for address in self.addresses())


def _is_address(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal()
