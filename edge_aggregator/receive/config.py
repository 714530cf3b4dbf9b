"""Settings of the MQTT entrance, checked when they are read."""

from __future__ import annotations

import msgspec

from ingest.contract.topics import is_name
from ingest.runtime.addresses import is_loopback

DEFAULT_MAX_PACKET_BYTES = 1024 * 1024
_LEAST_PACKET_BYTES = 1024
_MOST_PACKET_BYTES = 256 * 1024 * 1024
_MOST_KEEPALIVE_S = 65_535


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files in PEM. `ca_file`: whom to trust; at the listener it also makes client certificates obligatory."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker to read from. Raises ValueError with what was found and what to do."""

    host: str = "127.0.0.1"
    port: int = 1883
    client_id: str
    topics: list[str]
    username: str | None = None
    password_file: str | None = None
    tls: TlsConfig | None = None
    keepalive_s: int = 30
    max_packet_bytes: int = DEFAULT_MAX_PACKET_BYTES
    session_expiry_s: int = 7 * 86_400  # how long the broker keeps what arrives while the edge is away (MQTT 5)
    connect_timeout_s: float = 10.0
    in_flight_window: int = 20  # what a 3.1.1 broker sends before it waits for acknowledgements (Mosquitto's default)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _check_port(self.port)
        _check_packet_size(self.max_packet_bytes)
        if not self.client_id:
            raise ValueError("client_id is empty: the broker keeps the session under it, name the gateway")
        if not 1 <= self.keepalive_s <= _MOST_KEEPALIVE_S:
            raise ValueError(f"keepalive_s is {self.keepalive_s}, expected 1 to {_MOST_KEEPALIVE_S} seconds")
        if self.in_flight_window < 1:
            raise ValueError(f"in_flight_window is {self.in_flight_window}, expected at least 1")
        if not self.topics:
            raise ValueError('topics is empty: name what to read, for example ["tidegate/v1/my-site/+/telemetry"]')
        for topic in self.topics:
            _check_filter(topic)


class ListenerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedded listener. Raises ValueError when it would be open beyond loopback without TLS and credentials."""

    host: str = "127.0.0.1"
    port: int = 1883  # 0: any free port
    site: str
    credentials_file: str | None = None
    tls: TlsConfig | None = None
    max_packet_bytes: int = DEFAULT_MAX_PACKET_BYTES
    max_connections: int = 1024
    connect_timeout_s: float = 10.0
    command_timeout_s: float = 10.0
    panels: list[str] = []
    """Clients that may read every device's alarms; without a `credentials_file` all may."""

    def __post_init__(self) -> None:
        """Refuse what is unsafe or cannot work."""
        _check_port(self.port, least=0)
        _check_packet_size(self.max_packet_bytes)
        if not is_name(self.site):
            raise ValueError(f"site is {self.site!r}, expected a name of letters, digits and _.:@-")
        if self.max_connections < 1:
            raise ValueError(f"max_connections is {self.max_connections}, expected at least 1")
        if self.tls and not (self.tls.cert_file and self.tls.key_file):
            raise ValueError("tls has no cert_file and key_file: a listener shows its own certificate, name both")
        if not is_loopback(self.host) and not (self.tls and self.credentials_file):
            raise ValueError(
                f"host is {self.host!r}, which others can reach: give tls and credentials_file, or listen on 127.0.0.1"
            )


def _check_port(port: int, least: int = 1) -> None:
    if not least <= port <= 65_535:  # noqa: PLR2004 - the highest TCP port
        raise ValueError(f"port is {port}, expected {least} to 65535")


def _check_packet_size(size: int) -> None:
    if not _LEAST_PACKET_BYTES <= size <= _MOST_PACKET_BYTES:
        raise ValueError(
            f"max_packet_bytes is {size}, expected {_LEAST_PACKET_BYTES} to {_MOST_PACKET_BYTES} (MQTT's own limit)"
        )


def _check_filter(topic: str) -> None:
    if topic == "$share" or topic.startswith("$share/"):
        raise ValueError(
            f"topics has {topic!r}: a shared subscription would split one device's samples over several gateways; "
            "split the site by device instead, with filters that do not overlap"
        )
    levels = topic.split("/")
    wild_inside = any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
    if not topic or "\0" in topic or wild_inside or "#" in levels[:-1]:
        raise ValueError(f"topics has {topic!r}: expected levels between /, + for any one level, # only as the last")
