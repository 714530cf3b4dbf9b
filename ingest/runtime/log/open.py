"""The log that a configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from ingest.runtime.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.port import Log


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path` is for kind "sqlite"; the rest is for "kafka", as in KafkaConfig. Empty strings mean "none"."""

    kind: Literal["sqlite", "kafka"] = "sqlite"
    path: str = ""
    bootstrap: str = ""
    username: str = ""
    password_file: str = ""
    mechanism: str = "PLAIN"
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    client_id: str = "tidegate"
    replication: int = -1

    def check(self) -> None:
        """Raises ValueError that names the field, what was found and what is expected."""
        if self.kind == "kafka":
            self.kafka().check()
        elif not self.path:
            raise ValueError("path: missing, expected the file of the embedded log")

    def kafka(self, *, seldom: bool = False) -> KafkaConfig:
        """The part that is for Kafka; `seldom` as there."""
        return KafkaConfig(
            seldom=seldom,
            bootstrap=self.bootstrap,
            client_id=self.client_id,
            username=self.username,
            password_file=self.password_file,
            mechanism=self.mechanism,
            tls_ca=self.tls_ca,
            tls_certificate=self.tls_certificate,
            tls_key=self.tls_key,
            replication=self.replication,
        )


def open_log(config: LogConfig, clock: Clock, *, seldom: bool = False) -> Log:
    """The log; nothing is connected or created before it is used. `seldom`: little is read from it, see KafkaConfig.

    Raises ValueError when `config` contradicts itself.
    """
    config.check()
    if config.kind == "kafka":
        return KafkaLog(config.kafka(seldom=seldom), clock)
    return SqliteLog(Path(config.path), clock)
